// The microphone: open during a recording only.

/** The browser gives no microphone. `message` says why, and what to do. */
export class NoMicrophone extends Error {}

const REASONS = {
  NotAllowedError:
    "The browser was not allowed to use the microphone. Allow it in the address bar or in the browser's settings for this site, or choose a sound file.",
  NotFoundError: "No microphone was found. Connect one, or choose a sound file.",
  NotReadableError: "The microphone is in use by another program, or its driver failed. Close the program, or choose a sound file.",
};

/** The end of a recording is not waited for longer: a suspended audio thread answers nothing. */
const END_PATIENCE_MS = 300;

/**
 * Opens the microphone. `onSamples(samples, rateHz)` gets blocks of mono samples; `onEnd` is called when the device is
 * taken away. Resolves to `{ close }`, which resolves when the last block was handed over.
 *
 * Gain, echo and noise are left as they are: Whisper was trained on such audio.
 */
export async function openMicrophone({ onSamples, onEnd }) {
  checkBrowser();
  let stream;
  try {
    stream = await navigator.mediaDevices.getUserMedia({
      audio: { channelCount: 1, autoGainControl: false, echoCancellation: false, noiseSuppression: false },
    });
  } catch (error) {
    throw new NoMicrophone(REASONS[error.name] ?? `The browser gives no microphone: ${error.message || error.name}.`);
  }
  try {
    return await listen(stream, { onSamples, onEnd });
  } catch (error) {
    release(stream);
    throw new NoMicrophone(`The browser cannot record: ${error.message || error.name}.`);
  }
}

function checkBrowser() {
  if (!window.isSecureContext) {
    throw new NoMicrophone(
      "Browsers give the microphone only to pages from https:// or from the same machine (localhost). Put a proxy with a certificate in front of this server, open the page on the server's own machine, or choose a sound file.",
    );
  }
  if (!navigator.mediaDevices?.getUserMedia || !window.AudioWorkletNode) {
    throw new NoMicrophone("This browser cannot record. Choose a sound file, or use a newer browser.");
  }
}

async function listen(stream, { onSamples, onEnd }) {
  const context = new AudioContext();
  await context.audioWorklet.addModule(new URL("./worklet.js", import.meta.url).href);
  const source = context.createMediaStreamSource(stream);
  const node = new AudioWorkletNode(context, "samples", { channelCount: 1, channelCountMode: "explicit" });
  let ended = () => {};
  node.port.onmessage = ({ data }) => (data ? onSamples(data, context.sampleRate) : ended());
  source.connect(node);
  // What is connected to nothing is not run; the node puts out silence.
  node.connect(context.destination);
  await context.resume();
  for (const track of stream.getTracks()) track.addEventListener("ended", onEnd);
  return {
    async close() {
      for (const track of stream.getTracks()) track.removeEventListener("ended", onEnd);
      await new Promise((resolve) => {
        ended = resolve;
        setTimeout(resolve, END_PATIENCE_MS);
        node.port.postMessage("end");
      });
      release(stream);
      await context.close();
    },
  };
}

function release(stream) {
  for (const track of stream.getTracks()) track.stop();
}
