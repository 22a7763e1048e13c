// A broker on 127.0.0.1: `node broker.js PORT [CERTIFICATE KEY]`. It keeps sessions in memory.
import { readFileSync } from "node:fs";
import net from "node:net";
import tls from "node:tls";
import { Aedes } from "aedes";

const [port, certificate, key] = process.argv.slice(2);
const broker = await Aedes.createBroker();
const server = certificate
  ? tls.createServer({ cert: readFileSync(certificate), key: readFileSync(key) }, broker.handle)
  : net.createServer(broker.handle);
server.listen(Number(port), "127.0.0.1");
