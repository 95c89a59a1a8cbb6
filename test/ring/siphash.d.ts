/** The package ships no declarations, and TypeScript would check its source by our rules. */
declare const siphash13: { hash(key: Uint32Array, message: string): { h: number; l: number } };
export default siphash13;
