#!/usr/bin/env node
// SPDX-License-Identifier: Apache-2.0
// report.mjs - report from Node without any package: nanomsg's REQ in a few lines.
import net from 'node:net';

const DEFAULT_ADDRESS = 'ipc:///run/dynamo-metricsd/ingest.ipc';
const REQ = Buffer.from('\0SP\0\0\x30\0\0', 'latin1');
const REP = Buffer.from('\0SP\0\0\x31\0\0', 'latin1');

// Sends one message; resolves to a list of what was refused, and why.
export function report(message, address = process.env.DYN_METRICSD_ADDRESS || DEFAULT_ADDRESS) {
  const body = Buffer.from('    ' + JSON.stringify(message));
  body.writeUInt32BE((2 ** 31 + Math.random() * 2 ** 31) >>> 0); // each request has a new id
  const head = Buffer.alloc(9, 1);
  head.writeBigUInt64BE(BigInt(body.length), 1);

  return new Promise((resolve, reject) => {
    let data = Buffer.alloc(0);
    const socket = net.connect(address.slice('ipc://'.length));
    socket.setTimeout(5000, () => socket.destroy(new Error('no answer in 5 seconds')));
    socket.on('error', reject);
    socket.on('close', () => reject(new Error('the daemon closed the connection')));
    socket.on('data', (piece) => {
      data = Buffer.concat([data, piece]);
      if (data.length < 17 || data.length < 17 + Number(data.readBigUInt64BE(9))) return;
      const isDaemon = data.subarray(0, 8).equals(REP);
      if (isDaemon) resolve(JSON.parse(data.subarray(21)).errors ?? []);
      socket.destroy(isDaemon ? null : new Error('this is no dynamo-metricsd'));
    });
    socket.write(Buffer.concat([REQ, head, body]));
  });
}

const refused = await report({
  namespace: 'dynamo',
  component: 'node',
  metrics: [
    { name: 'pages_total', type: 'counter', labels: { kind: 'html' }, inc: 5 },
    { name: 'render_seconds', type: 'histogram', buckets: [0.1, 1], observe: 0.25 },
    { name: 'heap_bytes', type: 'gauge', merge: 'most', set: 4096 }, // wrong: there is max
  ],
});
for (const error of refused) console.log(`refused: ${error.metric}: ${error.text}`);
