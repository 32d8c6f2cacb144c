/** What the client uses of a browser's XMLHttpRequest, which Node.js does not have. Reports a quarter of the upload, then all of it. */
export class BrowserRequest {
  readonly upload: { onprogress: ((event: { loaded: number; total: number }) => void) | null } = { onprogress: null };
  status = 0;
  statusText = '';
  responseText = '';
  onload: (() => void) | null = null;
  onerror: (() => void) | null = null;
  private readonly headers = new Headers();
  private readonly controller = new AbortController();
  private method = '';
  private url = '';
  private responseHeaders = new Headers();

  open(method: string, url: string): void {
    this.method = method;
    this.url = url;
  }

  setRequestHeader(name: string, value: string): void {
    this.headers.set(name, value);
  }

  getAllResponseHeaders(): string {
    return Array.from(this.responseHeaders, ([name, value]) => `${name}: ${value}\r\n`).join('');
  }

  send(body: Blob): void {
    void this.transfer(body).catch(() => this.onerror?.());
  }

  abort(): void {
    this.onerror = null;
    this.controller.abort();
  }

  private async transfer(body: Blob): Promise<void> {
    const { method, url, headers, controller } = this;
    this.upload.onprogress?.({ loaded: body.size / 4, total: body.size });
    const response = await fetch(url, { method, headers, body, signal: controller.signal });
    this.upload.onprogress?.({ loaded: body.size, total: body.size });
    this.responseText = await response.text();
    this.responseHeaders = response.headers;
    this.statusText = response.statusText;
    this.status = response.status;
    this.onload?.();
  }
}
