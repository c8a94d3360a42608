// Bytes that Python's zlib deflated: the browser inflates them itself.

/** A DataView of deflated bytes, as a Response: `text()` or `arrayBuffer()` gives what it holds. */
export const inflated = (view) => new Response(new Blob([view]).stream().pipeThrough(new DecompressionStream("deflate")));
