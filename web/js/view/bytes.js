// Sizes in words.

export const sizeOf = (bytes) => (bytes < 2 ** 20 ? `${Math.ceil(bytes / 1024)} kB` : `${Number((bytes / 2 ** 20).toFixed(1))} MB`);
