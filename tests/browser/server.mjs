// The real server as a process of the test: started, killed and started again, always by its process id.

import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { promisify } from "node:util";

const START_MS = 20_000; // a debug build on a busy machine

export class DemoServer {
  /**
   * `binary` is the path of `fortifun`, `flags` are its settings from the next start on. Its store lives in a folder of its
   * own, so that a restart finds it again.
   */
  constructor(binary, flags = []) {
    this.binary = binary;
    this.flags = flags;
    this.output = [];
    this.port = 0;
  }

  /** Starts on the port it had before, or on a free one; resolves with the page's address once the server has printed it. */
  async start() {
    this.folder ??= await mkdtemp(join(tmpdir(), "fortifun-browser-"));
    const args = ["demo", "--port", String(this.port), "--data-dir", this.folder, ...this.flags];
    this.process = spawn(this.binary, args, { stdio: ["ignore", "pipe", "pipe"] });
    const exited = once(this.process, "exit").then(([code, signal]) => {
      throw new Error(`the server ended (${code ?? signal}) before it was up:\n${this.output.join("\n")}`);
    });
    const late = AbortSignal.timeout(START_MS);
    const tooLate = once(late, "abort").then(() => {
      throw new Error(`no address within ${START_MS} ms:\n${this.output.join("\n")}`);
    });
    for (const lost of [exited, tooLate]) lost.catch(() => {});
    this.address = await Promise.race([this.printedAddress(), exited, tooLate]);
    this.port = Number(new URL(this.address).port);
    return this.address;
  }

  printedAddress() {
    createInterface({ input: this.process.stderr }).on("line", (line) => this.output.push(line));
    return new Promise((resolve) => {
      createInterface({ input: this.process.stdout }).on("line", (line) => {
        this.output.push(line);
        const found = /http:\/\/127\.0\.0\.1:\d+\//.exec(line);
        if (found) resolve(found[0]);
      });
    });
  }

  /** Stops the process where it stands: what is sent to it now is neither read nor answered. */
  freeze() {
    this.process.kill("SIGSTOP");
  }

  /** A token of that user, which this server takes for `ttl`. */
  async token(username, ttl = "1h") {
    const key = join(this.folder, "secret_key");
    const store = ["--secret-key-file", key, "--database-url", `sqlite:///${join(this.folder, "demo.db")}`];
    const { stdout } = await promisify(execFile)(this.binary, ["token", "--user", username, "--ttl", ttl, ...store]);
    return stdout.trim();
  }

  /** Asks the process to move its clients away and end; resolves with its exit code. */
  async drain() {
    const gone = once(this.process, "exit");
    this.process.kill("SIGTERM");
    const [code] = await gone;
    return code;
  }

  /** Ends the process without a warning; resolves when it is gone. */
  async kill() {
    if (this.process.exitCode !== null || this.process.signalCode !== null) return;
    const gone = once(this.process, "exit");
    this.process.kill("SIGKILL");
    await gone;
  }

  async dispose() {
    if (this.process) await this.kill();
    if (this.folder) await rm(this.folder, { recursive: true, force: true });
  }
}
