/** The part of the parser that is used. */
declare module "parse-prometheus-text-format" {
  export interface Metric {
    labels?: Record<string, string>;
    value?: string;
    /** Of a histogram. */
    buckets?: Record<string, string>;
  }
  export default function parse(text: string): { name: string; type: string; metrics: Metric[] }[];
}
