// Makes what `keyless.rs` judges of others': bundles by identities of a Sigstore instance that exists only here (its
// certificate authority, its certificate log and its transparency log are `@sigstore/mock`'s), and its trusted root.
//
//     npm install @sigstore/mock@0.12 @sigstore/sign@4 @sigstore/bundle@4
//     node make.mjs OUT
import { createHash, generateKeyPairSync } from "node:crypto";
import { writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { join } from "node:path";
import mock from "@sigstore/mock";
import { bundleToJSON } from "@sigstore/bundle";
import { DSSEBundleBuilder, FulcioSigner, RekorWitness } from "@sigstore/sign";

const out = process.argv[2];
const [fulcioURL, rekorURL] = ["https://fulcio.example", "https://rekor.example"];
const pair = () => generateKeyPairSync("ec", { namedCurve: "prime256v1" });
// Of the manifest that the tests sign.
const DIGEST = createHash("sha256").update("a manifest").digest("hex");
const SIGN = "https://sigstore.dev/cosign/sign/v1";
const ISSUER = "https://issuer.example";
const ROBOT = "https://forge.example/acme/connectors/.ci/release.yml@refs/heads/main";

async function instance(name) {
  const [ctKeys, caKeys, logKeys] = [pair(), pair(), pair()];
  const ctlog = await mock.initializeCTLog(ctKeys);
  const ca = await mock.initializeCA(caKeys, ctlog);
  const tlog = await mock.initializeTLog(rekorURL, logKeys);
  const start = new Date(Date.now() - 60_000).toISOString();
  const log = (baseUrl, rawBytes, id) => ({
    baseUrl,
    hashAlgorithm: "SHA2_256",
    publicKey: { rawBytes: rawBytes.toString("base64"), keyDetails: "PKIX_ECDSA_P256_SHA_256", validFor: { start } },
    logId: { keyId: id.toString("base64") },
  });
  const sha256 = (bytes) => createHash("sha256").update(bytes).digest();
  const ctKey = Buffer.from(ctlog.publicKey);
  const root = {
    mediaType: "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
    tlogs: [log(rekorURL, tlog.publicKey, sha256(tlog.publicKey))],
    certificateAuthorities: [
      {
        subject: { organization: "sigstore.mock", commonName: "sigstore" },
        uri: fulcioURL,
        certChain: { certificates: [{ rawBytes: ca.rootCertificate.toString("base64") }] },
        validFor: { start },
      },
    ],
    ctlogs: [log("https://ctfe.example", ctKey, Buffer.from(ctlog.logID))],
    timestampAuthorities: [],
  };
  writeFileSync(join(out, name), JSON.stringify(root, null, 1) + "\n");
  return { ca, tlog };
}

async function sign({ ca, tlog }, name, { subject = ROBOT }) {
  const fulcio = await serve(mock.fulcioHandler(ca, { strict: true, subjectClaim: "sub" }));
  const rekor = await serve(mock.rekorHandler({ log: (entry) => tlog.log(kept(entry)) }, { strict: true }));
  const claims = Buffer.from(JSON.stringify({ iss: ISSUER, sub: subject, aud: "sigstore" })).toString("base64url");
  const signer = new FulcioSigner({ fulcioBaseURL: fulcio.url, identityProvider: { getToken: async () => `e30.${claims}.c2ln` } });
  const witness = new RekorWitness({ rekorBaseURL: rekor.url, entryType: "dsse" });
  const statement = { _type: "https://in-toto.io/Statement/v1", subject: [{ name: "", digest: { sha256: DIGEST } }], predicateType: SIGN, predicate: {} };
  const builder = new DSSEBundleBuilder({ signer, witnesses: [witness], certificateChain: false });
  const bundle = await builder.create({ type: "application/vnd.in-toto+json", data: Buffer.from(JSON.stringify(statement)) });
  writeFileSync(join(out, name), JSON.stringify(bundleToJSON(bundle)) + "\n");
  fulcio.server.close();
  rekor.server.close();
}

// What a log keeps of an envelope that it is shown: hashes and signatures.
function kept({ apiVersion, kind, spec: { proposedContent } }) {
  const { payload, signatures } = JSON.parse(proposedContent.envelope);
  const hash = (bytes) => ({ algorithm: "sha256", value: createHash("sha256").update(bytes).digest("hex") });
  const verifier = proposedContent.verifiers[0];
  return {
    apiVersion,
    kind,
    spec: {
      envelopeHash: hash(proposedContent.envelope),
      payloadHash: hash(Buffer.from(payload, "base64")),
      signatures: signatures.map(({ sig }) => ({ signature: sig, verifier })),
    },
  };
}

async function serve(handler) {
  const server = createServer((request, response) => {
    let body = "";
    request.on("data", (piece) => (body += piece));
    request.on("end", async () => {
      const answer = await handler.fn(body);
      response.writeHead(answer.statusCode, { "content-type": answer.contentType ?? "text/plain", connection: "close" });
      response.end(typeof answer.response === "object" && !Buffer.isBuffer(answer.response) ? JSON.stringify(answer.response) : answer.response);
    });
  });
  await new Promise((listening) => server.listen(0, "127.0.0.1", listening));
  return { server, url: `http://127.0.0.1:${server.address().port}` };
}

const here = await instance("trusted-root.json");
await sign(here, "signature.json", {});
await sign(here, "other-identity.json", { subject: "https://forge.example/mallory/connectors/.ci/release.yml@refs/heads/main" });
