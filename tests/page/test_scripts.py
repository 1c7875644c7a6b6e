"""The page's scripts that know no page: samples, pauses, files, events."""

import pytest

MODULES = "const of = (name) => import(`/page/${name}.js`);"


@pytest.fixture(scope="module")
def evaluate(browser, address):
    """Runs the body of a function in the page's place."""
    context = browser.new_context()
    page = context.new_page()
    page.goto(f"http://{address}/")
    yield lambda body, *arguments: page.evaluate(f"async (given) => {{ {MODULES} {body} }}", *arguments)
    context.close()


@pytest.mark.parametrize("rate", [8_000, 16_000, 22_050, 44_100, 48_000, 96_000])
def test_a_tone_keeps_its_height_and_what_does_not_fit_is_gone(evaluate, rate):
    body = """
        const { Resampler } = await of("resampler");
        const [rate, tone] = given;
        const input = Float32Array.from({ length: rate }, (_, index) => Math.sin((2 * Math.PI * tone * index) / rate));
        const resampler = new Resampler(rate);
        const output = [];
        // Pieces of any length are one sound.
        for (let at = 0, size = 1; at < input.length; at += size, size = (size * 7) % 2_000 + 1) {
            output.push(...resampler.push(input.subarray(at, at + size)));
        }
        output.push(...resampler.flush());
        const wanted = output.map((_, index) => Math.sin((2 * Math.PI * tone * index) / 16_000));
        const inner = output.slice(1_000, -1_000);
        const off = inner.map((sample, index) => Math.abs(sample - wanted[index + 1_000]));
        return [output.length, Math.max(...off), Math.max(...inner.map(Math.abs))];
    """
    length, off, _ = evaluate(body, [rate, 1_000])
    assert abs(length - 16_000) <= 1 and off < 0.001, (length, off)
    if rate > 22_050:
        _, _, loudest = evaluate(body, [rate, 9_500])
        assert loudest < 0.001, loudest


def test_a_wav_file_has_the_samples(evaluate):
    body = """
        const { wavOf } = await of("wav");
        const file = wavOf(Float32Array.of(0, 0.5, -0.5, 1, -1, 2, -2));
        return [...new Uint8Array(await file.arrayBuffer())];
    """
    file = bytes(evaluate(body))
    head = b"RIFF" + (36 + 14).to_bytes(4, "little") + b"WAVEfmt " + bytes([16, 0, 0, 0, 1, 0, 1, 0])
    assert file.startswith(head + (16_000).to_bytes(4, "little") + (32_000).to_bytes(4, "little") + b"\x02\0\x10\0data\x0e\0\0\0")
    samples = [int.from_bytes(file[at : at + 2], "little", signed=True) for at in range(44, len(file), 2)]
    assert samples == [0, 16_384, -16_383, 32_767, -32_767, 32_767, -32_767]


@pytest.mark.parametrize("noise", [0, 0.003, 0.03])
def test_each_pause_after_speech_is_found_once(evaluate, noise):
    body = """
        const { Pauses } = await of("pauses");
        const pauses = new Pauses();
        // A second each: noise, speech, noise, speech, noise, noise.
        const found = [];
        for (let at = 0; at < 6 * 16_000; at += 683) {
            const second = Math.floor(at / 16_000);
            const loud = second === 1 || second === 3 ? 0.3 : 0;
            const piece = Float32Array.from({ length: 683 }, () => (given + loud) * (2 * Math.random() - 1));
            if (pauses.push(piece).hasPaused) found.push((at + 683) / 16_000);
        }
        return found;
    """
    found = evaluate(body, noise)
    assert len(found) == 2, found
    assert 2.25 < found[0] < 2.45 and 4.25 < found[1] < 4.45, found


def test_after_long_speech_a_breath_is_a_pause(evaluate):
    body = """
        const { Pauses } = await of("pauses");
        const pauses = new Pauses();
        const found = [];
        // Breaths of 160 ms in each second.
        for (let at = 0; at < 14 * 16_000; at += 320) {
            const loud = at % 16_000 < 2_560 ? 0 : 0.3;
            const piece = Float32Array.from({ length: 320 }, () => loud * (2 * Math.random() - 1));
            if (pauses.push(piece).hasPaused) found.push(Math.floor(at / 16_000));
        }
        return found;
    """
    # Speech is 0.84 s of each second.
    assert evaluate(body) == [6, 12]


@pytest.mark.parametrize("size", [1, 2, 7, 1_000])
def test_events_are_read_whatever_the_pieces(evaluate, size):
    body = """
        const { readEvents } = await of("events");
        const text = ': alive\\n\\ndata: {"delta":"Grüße"}\\n\\n: alive\\n\\ndata: {"text":\\r\\ndata: "x"}\\r\\n\\r\\ndata: {"cut"';
        const bytes = new TextEncoder().encode(text);
        const stream = new ReadableStream({
            start(controller) {
                for (let at = 0; at < bytes.length; at += given) controller.enqueue(bytes.slice(at, at + given));
                controller.close();
            },
        });
        const events = [];
        for await (const event of readEvents(stream)) events.push(event);
        return events;
    """
    assert evaluate(body, size) == [{"delta": "Grüße"}, {"text": "x"}]


def test_long_speech_is_sent_in_passages_one_at_a_time(evaluate):
    body = """
        const { Drafts } = await of("drafts");
        const { Recording } = await of("recording");
        const recording = new Recording();
        const sent = [], shown = [];
        let running = 0, most = 0;
        const send = async (samples) => {
            running += 1;
            most = Math.max(most, running);
            await new Promise((resolve) => setTimeout(resolve, 5));
            running -= 1;
            sent.push(samples.length / 16_000);
            return `words${sent.length} `;
        };
        const drafts = new Drafts({ recording, send, show: (text) => shown.push(text), complain: () => {} });
        for (let second = 0; second < 6; second += 1) {
            recording.push(new Float32Array(8 * 16_000));
            drafts.pause();
            drafts.pause();
            await new Promise((resolve) => setTimeout(resolve, 30));
        }
        await drafts.stop();
        drafts.pause();
        return { sent, shown, most };
    """
    found = evaluate(body)
    assert found["most"] == 1
    # A pause that comes while a request runs is answered after it.
    assert found["sent"] == [8, 8, 16, 16, 24] * 2, found
    assert found["shown"][4:6] == ["words5", "words5 words6"] and found["shown"][-1] == "words5 words10", found
