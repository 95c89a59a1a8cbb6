/** What the tests use of packages that ship no declarations. */

interface ExpressApp extends RequestListener {
  all(path: string, handler: ExpressHandler): ExpressApp;
  use(path: string, handler: ExpressHandler): ExpressApp;
}
type RequestListener = import("node:http").RequestListener;
type ExpressHandler = (request: unknown, response: import("node:http").ServerResponse) => void;

declare module "express" {
  export default function express(): ExpressApp;
}

declare module "express4" {
  export default function express(): ExpressApp;
}

declare module "koa" {
  export default class Koa {
    use(middleware: unknown): this;
    callback(): RequestListener;
  }
}
