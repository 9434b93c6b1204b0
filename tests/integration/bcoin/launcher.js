// A bcoin full node on regtest, in memory and on loopback only: node launcher.js NODE_MODULES OPTIONS
//
// OPTIONS is JSON: port and httpPort (absent: the system chooses), only (addresses to connect to), mine (blocks to mine
// before anything is connected). Prints READY and the two ports once peers and commands are served. Ends with SIGTERM,
// or when its stdin is closed: it does not outlive the test that started it.
'use strict';

const path = require('path');

const [modules, text] = process.argv.slice(2);
const {port, httpPort = 0, only = [], mine = 0} = JSON.parse(text);
const FullNode = require(path.join(modules, 'bcoin/lib/node/fullnode'));

const host = '127.0.0.1';
const coinbaseAddress = ['R9HC5WtHbpoa51NCUAz86XLCmGTbkf45NT']; // nobody's: the hash of its key is all zeros
const node = new FullNode({
  network: 'regtest', memory: true, workers: false, listen: true, host, port, httpHost: host, httpPort, noAuth: true, only,
  coinbaseAddress
});

node.pool.options.port = port || 0; // as an option bcoin would not take 0
node.pool.discoverExternal = node.pool.discoverSeeds = async () => {}; // these would ask the internet
node.on('error', error => console.error(error.message));

(async () => {
  await node.ensure();
  await node.open();
  for (let i = 0; i < mine; i++)
    await node.chain.add(await node.miner.mineBlock());
  await node.connect();
  node.startSync();
  console.log(`READY ${node.pool.server.address().port} ${node.http.http.address().port}`);
})().catch((error) => {
  console.error(error.stack);
  process.exit(1);
});

process.stdin.resume().on('end', () => process.exit(0));
