// Bytes that an explorer may not need: on the site each stands in a file of its own.

/** What a list of bytes holds: in Jupyter the bytes, on the site a function that brings them. */
export const brought = (bytes) => (typeof bytes === "function" ? bytes() : bytes);
