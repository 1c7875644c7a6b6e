// Times, languages and numbers as people read them.

/** Seconds: `61 ms`, `1.2 s`, `2 min 5 s`. */
export function duration(seconds) {
  if (seconds < 1) return `${Math.round(1_000 * seconds)} ms`;
  if (seconds < 60) return `${seconds.toFixed(1)} s`;
  const rest = Math.round(seconds % 60);
  return `${Math.floor(seconds / 60)} min${rest ? ` ${rest} s` : ""}`;
}

/** Seconds on a clock: `0:07`. */
export function clock(seconds) {
  const whole = Math.floor(seconds);
  return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, "0")}`;
}

/** The English name of a language's code; the code where the browser knows none. */
export function languageName(code) {
  try {
    return new Intl.DisplayNames(["en"], { type: "language" }).of(code);
  } catch {
    return code;
  }
}

/** `74 million`. */
export function count(number) {
  return new Intl.NumberFormat("en", { notation: "compact", compactDisplay: "long", maximumFractionDigits: 0 }).format(number);
}
