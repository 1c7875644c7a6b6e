// Runs on the browser's audio thread: hands the microphone's samples to the page, in blocks.

// About 43 ms at 48 kHz: often enough for the level, rare enough for a slow phone.
const BLOCK = 2_048;

class Samples extends AudioWorkletProcessor {
  constructor() {
    super();
    this.block = new Float32Array(BLOCK);
    this.used = 0;
    this.isOver = false;
    // The page sends one message: the end.
    this.port.onmessage = () => {
      this.hand();
      this.isOver = true;
      this.port.postMessage(null);
    };
  }

  process([input]) {
    const samples = input[0];
    if (samples && !this.isOver) this.take(samples);
    return !this.isOver;
  }

  take(samples) {
    for (const sample of samples) {
      this.block[this.used] = sample;
      this.used += 1;
      if (this.used === BLOCK) this.hand();
    }
  }

  hand() {
    if (this.used > 0) this.port.postMessage(this.block.slice(0, this.used));
    this.used = 0;
  }
}

registerProcessor("samples", Samples);
