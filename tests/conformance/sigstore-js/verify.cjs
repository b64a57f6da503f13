// Verifies a bundle by npm's @sigstore/verify, offline: accepts it as it is, refuses it tampered with.
//
//   node verify.cjs MODULES TRUSTED_ROOT BUNDLE ARTIFACT PUBLIC_KEY_PEM
//
// MODULES is the folder whose node_modules hold the packages. Exits with 1 and what went wrong.
'use strict';
const assert = require('assert');
const crypto = require('crypto');
const fs = require('fs');
const { createRequire } = require('module');

const [modules, rootFile, bundleFile, artifactFile, keyFile] = process.argv.slice(2);
const load = createRequire(`${modules}/package.json`);
const { bundleFromJSON } = load('@sigstore/bundle');
const { TrustedRoot } = load('@sigstore/protobuf-specs');
const { Verifier, toSignedEntity, toTrustMaterial } = load('@sigstore/verify');

const root = JSON.parse(fs.readFileSync(rootFile));
const bundle = JSON.parse(fs.readFileSync(bundleFile));
const artifact = fs.readFileSync(artifactFile);
const publicKey = crypto.createPublicKey(fs.readFileSync(keyFile));

function verify(bundleJson, artifactBytes, rootJson = root) {
  const keys = (hint) => {
    assert.equal(hint, bundle.verificationMaterial.publicKey.hint, 'the hint of another key');
    return { publicKey, validFor: () => true };
  };
  // Our logs sign no time; a threshold of 1 waits for RFC 3161 timestamps.
  const verifier = new Verifier(toTrustMaterial(TrustedRoot.fromJSON(rootJson), keys), {
    tlogThreshold: 1,
    ctlogThreshold: 0,
    timestampThreshold: 0,
  });
  return verifier.verify(toSignedEntity(bundleFromJSON(bundleJson), artifactBytes));
}

const copy = (value) => JSON.parse(JSON.stringify(value));
const flip = (base64) => {
  const bytes = Buffer.from(base64, 'base64');
  bytes[bytes.length >> 1] ^= 1;
  return bytes.toString('base64');
};

function refuses(what, change) {
  const changed = { bundle: copy(bundle), root: copy(root), artifact: Buffer.from(artifact) };
  change(changed);
  let accepted = true;
  try {
    verify(changed.bundle, changed.artifact, changed.root);
  } catch (error) {
    accepted = false;
    console.log(`refused, ${what}: ${error.message}`);
  }
  assert(!accepted, `accepted with ${what}`);
}

verify(copy(bundle), artifact);
console.log('accepted');

const entry = (b) => b.verificationMaterial.tlogEntries[0];
refuses('another artifact', (c) => { c.artifact = Buffer.concat([artifact, Buffer.from('x')]); });
refuses('a changed signature', (c) => {
  c.bundle.messageSignature.signature = flip(c.bundle.messageSignature.signature);
});
refuses('a changed entry', (c) => {
  entry(c.bundle).canonicalizedBody = flip(entry(c.bundle).canonicalizedBody);
});
refuses('another index', (c) => {
  const { inclusionProof } = entry(c.bundle);
  inclusionProof.logIndex = String(Number(inclusionProof.logIndex) ^ 1);
});
refuses('a changed path', (c) => {
  const { hashes } = entry(c.bundle).inclusionProof;
  assert(hashes.length > 0, 'the log is too small to test a path');
  hashes[0] = flip(hashes[0]);
});
refuses('a checkpoint of another size', (c) => {
  const { checkpoint } = entry(c.bundle).inclusionProof;
  checkpoint.envelope = checkpoint.envelope.replace(/\n(\d+)\n/, (_, size) => `\n${Number(size) + 1}\n`);
});
refuses('a checkpoint without the log\'s signature', (c) => {
  const { checkpoint } = entry(c.bundle).inclusionProof;
  const [text, signatures] = checkpoint.envelope.split('\n\n');
  checkpoint.envelope = `${text}\n\n${signatures.split('\n').slice(1).join('\n')}`;
});
refuses('no log entry', (c) => { c.bundle.verificationMaterial.tlogEntries = []; });
refuses('another log\'s key', (c) => {
  const other = crypto.generateKeyPairSync('ed25519').publicKey;
  c.root.tlogs[0].publicKey.rawBytes = other.export({ type: 'spki', format: 'der' }).toString('base64');
});
refuses('no trusted log', (c) => { c.root.tlogs = []; });
