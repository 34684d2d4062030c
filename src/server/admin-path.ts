// Where the admin socket is: the broker opens it there, the command line finds it there.
// Promises: one path for each data folder.
// Does not know: either end; loading this loads nothing of them.

export const adminSocketPath = (dataPath: string): string => `${dataPath}/odradek.sock`

/** The kernel's limit of a socket file's path (sun_path, without its end). */
export const socketPathBytesMax = 107
