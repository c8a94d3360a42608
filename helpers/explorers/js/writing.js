// What explorers that write a text share: random numbers that come again, and names of characters.

/** Numbers from 0 to 1 that a seed decides (Mulberry32). */
export function random(seed) {
  let a = seed;
  return () => {
    a = (a + 0x6d2b79f5) | 0;
    let t = Math.imul(a ^ (a >>> 15), 1 | a);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

const NAMES = { " ": "space", "\n": "new line" };

/** What a character is called where it could not be seen. */
export const named = (character) => NAMES[character] ?? character;
