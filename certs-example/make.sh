#!/bin/sh
# Makes the example scheme anew, as of a fixed date. Run from the repository's root, in which
# certs-example/scheme and certs-example/parties must not exist:
#
#     rm -r certs-example/scheme certs-example/parties && sh certs-example/make.sh
#
# New keys mean new bytes: the tests that read the set read whatever is committed.
set -eu

ecaf=${ECAF:-target/debug/ecaf}
folder=certs-example
at=2026-11-01T00:05:00Z

"$ecaf" pki init --scheme $folder/scheme --at $at --trust-domain demo.ecaf.example \
    --name "Example scheme, keys published"

issue() {
    name=$1
    party=$2
    shift 2
    "$ecaf" pki issue "$party" --scheme $folder/scheme --at $at --out $folder/parties/"$name" "$@"
}

issue gateway gateway/example-1 --dns localhost
for code in 204 309 316; do
    issue authority-$code authority/$code --dns localhost
done
for urn in 900001 900002 900003; do
    issue school-$urn school/$urn
done
issue operator operator/scheme

# The digests that are compiled in, so that these keys are refused outside the demonstration: the
# SHA-256 of the public key bits, which are the last 65 bytes of a P-256 SubjectPublicKeyInfo.
for certificate in $folder/scheme/root.crt $folder/scheme/issuing.crt $folder/parties/*.crt; do
    digest=$(openssl x509 -in "$certificate" -noout -pubkey | openssl pkey -pubin -outform DER |
        tail -c 65 | openssl dgst -sha256 -binary | basenc --base64url | tr -d =)
    echo "$digest ${certificate#$folder/}"
done >$folder/keys.txt
