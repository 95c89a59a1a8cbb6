/** The part of Hono's context that rules and keys read. A line of an access log has it, too. */
export interface RequestContext {
  readonly req: {
    readonly url: string;
    readonly method: string;
    readonly raw: { readonly headers: Headers };
  };
}
