// How loud it is: moving bars during a recording, the whole of it afterwards.

/** Between these a bar grows, slowly at first: noise stays low, and speech has a shape. */
const QUIETEST_DB = -50;
const LOUDEST_DB = -6;
const BAR_PX = 3;
const GAP_PX = 3;
/** A screen reader's value and a calm picture change no more often. */
const CALM_MS = 250;

export class Meter {
  #levels = [];
  #isLive = false;
  #calmAt = 0;

  constructor(canvas, value) {
    this.canvas = canvas;
    this.value = value;
    this.calm = matchMedia("(prefers-reduced-motion: reduce)");
    new ResizeObserver(() => this.#draw()).observe(canvas);
    document.addEventListener("themechange", () => this.#draw());
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.#draw());
  }

  /** A recording begins. */
  begin() {
    this.#levels = [];
    this.#isLive = true;
    this.#draw();
  }

  /** The next piece of it is so loud. */
  push(db) {
    const level = Math.max(0, Math.min(1, (db - QUIETEST_DB) / (LOUDEST_DB - QUIETEST_DB))) ** 1.5;
    this.#levels.push(level);
    const now = performance.now();
    const isCalm = now - this.#calmAt >= CALM_MS;
    if (isCalm) {
      this.#calmAt = now;
      this.value.setAttribute("aria-valuenow", String(Math.round(100 * level)));
    }
    if (isCalm || !this.calm.matches) this.#draw();
  }

  /** It has ended: all of it is shown. */
  end() {
    this.#isLive = false;
    this.value.setAttribute("aria-valuenow", "0");
    this.#draw();
  }

  /** There is none. */
  clear() {
    this.#levels = [];
    this.end();
  }

  #draw() {
    const { width, height } = this.canvas.getBoundingClientRect();
    const scale = window.devicePixelRatio || 1;
    this.canvas.width = Math.round(width * scale);
    this.canvas.height = Math.round(height * scale);
    const context = this.canvas.getContext("2d");
    context.scale(scale, scale);
    const style = getComputedStyle(this.canvas);
    const bars = Math.floor((width + GAP_PX) / (BAR_PX + GAP_PX));
    this.#bars(bars).forEach((level, index) => {
      const tall = Math.max(BAR_PX, level * height);
      context.fillStyle = style.getPropertyValue(level > 0 ? "--accent" : "--line");
      context.beginPath();
      context.roundRect(index * (BAR_PX + GAP_PX), (height - tall) / 2, BAR_PX, tall, BAR_PX / 2);
      context.fill();
    });
  }

  /** A level for each bar: the newest ones while it goes on, then all of them squeezed or spread over the width. */
  #bars(count) {
    const levels = this.#levels;
    if (levels.length === 0) return new Array(count).fill(0);
    if (this.#isLive) {
      const newest = this.calm.matches ? new Array(count).fill(levels.at(-1)) : levels.slice(-count);
      return [...new Array(count - newest.length).fill(0), ...newest];
    }
    return Array.from({ length: count }, (_, index) => {
      const from = Math.floor((index * levels.length) / count);
      const to = Math.max(from + 1, Math.floor(((index + 1) * levels.length) / count));
      return Math.max(...levels.slice(from, to));
    });
  }
}
