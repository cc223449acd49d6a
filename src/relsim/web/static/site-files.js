// The files of a site without a server: data that is there from the start, and more that is loaded when it is needed.

/** What cannot be answered, in words. */
export class Refused extends Error {
  constructor(status, text) {
    super(text);
    this.status = status;
  }
}

export const site = globalThis.relsimSite;

const loading = new Map();

/** Run `data/NAME.js`, once. */
export function load(name) {
  if (!loading.has(name)) {
    loading.set(
      name,
      new Promise((done, failed) => {
        const script = document.createElement("script");
        script.src = `data/${name}.js`;
        script.onload = done;
        script.onerror = () => {
          loading.delete(name);
          failed(new Refused(0, `The file data/${name}.js of this site is missing.`));
        };
        document.head.append(script);
      }),
    );
  }
  return loading.get(name);
}
