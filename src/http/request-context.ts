/** What is read of a request: Hono's context has it, and so has a line of a log. */
export interface RequestContext {
  readonly req: {
    readonly url: string;
    readonly method: string;
    readonly raw: { readonly headers: Headers };
  };
}
