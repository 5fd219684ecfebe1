//! Another implementation reads our tokens, and we read its: OpenSSL, with nothing of ours but the
//! text of a token and the certificate beside it. `tests/run` installs it; without it this fails.

use std::path::Path;
use std::process::{Command, Output};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ecaf::protocol::jws::Unverified;
use ecaf::protocol::tokens::{SUBMISSION_TYPE, Submission};
use ecaf::protocol::trust::{Purpose, pem};
use serde_json::Value;

use crate::form;
use crate::thread::Plan;
use crate::world::{World, b64url, noon};

fn openssl(folder: &Path, arguments: &str) -> Output {
    let mut command = Command::new("openssl");
    command.current_dir(folder).args(arguments.split(' '));
    command.output().expect("openssl is needed: tests/run installs it")
}

fn done(folder: &Path, arguments: &str) -> Vec<u8> {
    let output = openssl(folder, arguments);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "openssl {arguments}: {errors}");
    output.stdout
}

/// How OpenSSL is asked to check (`verify`) or make (`sign`) a signature.
fn call(algorithm: &str, verb: &str, key: &str) -> String {
    let file = if verb == "sign" { "-out signature" } else { "-signature signature" };
    let pss = "-sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:digest";
    match algorithm {
        "ES256" => format!("dgst -sha256 -{verb} {key} {file} input"),
        "ES384" => format!("dgst -sha384 -{verb} {key} {file} input"),
        "PS256" => format!("dgst -sha256 {pss} -{verb} {key} {file} input"),
        "Ed25519" if verb == "sign" => {
            format!("pkeyutl -sign -rawin -inkey {key} -in input -out signature")
        }
        "Ed25519" => {
            format!("pkeyutl -verify -rawin -pubin -inkey {key} -in input -sigfile signature")
        }
        other => panic!("{other}"),
    }
}

/// The two numbers of a DER signature in `size` bytes each.
fn fixed(der: &[u8], size: usize) -> Vec<u8> {
    let mut rest = &der[2..];
    let mut out = Vec::new();
    for _ in 0..2 {
        let length = usize::from(rest[1]);
        let number: Vec<u8> = rest[2..2 + length].iter().copied().skip_while(|b| *b == 0).collect();
        out.extend(vec![0; size - number.len()]);
        out.extend(number);
        rest = &rest[2 + length..];
    }
    out
}

pub fn openssl_verifies_our_tokens(world: &World) {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let write = |name: &str, bytes: &[u8]| std::fs::write(folder.join(name), bytes).unwrap();
    write("root.pem", pem::to_pem([world.root.certificate()]).as_bytes());
    write("issuing.pem", pem::to_pem([world.issuing.certificate()]).as_bytes());
    let file = crate::file::read(form::FILE);
    let mut seen = Vec::new();
    for case in crate::file::cases(&file).iter().filter(|c| c["expect"]["ok"] == true) {
        let token = case["token"].as_str().unwrap();
        let chain = crate::world::read_chain(&file["chains"][case["chain"].as_str().unwrap()]);
        let parts: Vec<_> = token.split('.').collect();
        let bytes = |index: usize| URL_SAFE_NO_PAD.decode(parts[index]).unwrap();
        let header: Value = serde_json::from_slice(&bytes(0)).unwrap();
        let algorithm = header["alg"].as_str().unwrap();
        write("leaf.der", chain.leaf());
        let leaf = done(folder, "x509 -inform DER -in leaf.der");
        write("leaf.pem", &leaf);
        write("key.pem", &done(folder, "x509 -in leaf.pem -pubkey -noout"));
        // The chain stands by itself, and the header names its leaf.
        let at = noon().seconds();
        done(
            folder,
            &format!(
                "verify -x509_strict -attime {at} -CAfile root.pem -untrusted issuing.pem leaf.pem"
            ),
        );
        write("digest", &done(folder, "dgst -sha256 -binary leaf.der"));
        let digest = std::fs::read(folder.join("digest")).unwrap();
        assert_eq!(header["x5t#S256"], b64url(digest));
        // The signature.
        let signature = match algorithm {
            "ES256" | "ES384" => form::der(&bytes(2)),
            _ => bytes(2),
        };
        write("signature", &signature);
        let (input, _) = token.rsplit_once('.').unwrap();
        write("input", input.as_bytes());
        let call = call(algorithm, "verify", "key.pem");
        done(folder, &call);
        write("input", input.replacen('A', "B", 1).as_bytes());
        assert!(!openssl(folder, &call).status.success(), "{algorithm}: it says yes to everything");
        seen.push(algorithm.to_owned());
    }
    seen.sort();
    assert_eq!(seen, ["ES256", "ES384", "Ed25519", "PS256"]);
}

pub fn we_verify_tokens_of_openssl(world: &World) {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    for (name, algorithm, size) in [
        ("school", "Ed25519", 0),
        ("school-es256", "ES256", 32),
        ("school-es384", "ES384", 48),
        ("school-ps256", "PS256", 0),
    ] {
        let actor = world.actor(name);
        std::fs::write(folder.join("key"), actor.private.to_pem().as_bytes()).unwrap();
        let mut plan = Plan::new();
        plan.submission.signer = name;
        let token = plan.sign(world).submission;
        let (input, ours) = token.rsplit_once('.').unwrap();
        std::fs::write(folder.join("input"), input).unwrap();
        done(folder, &call(algorithm, "sign", "key"));
        let signature = std::fs::read(folder.join("signature")).unwrap();
        let signature = if size > 0 { fixed(&signature, size) } else { signature };
        let theirs = b64url(signature);
        assert_eq!(theirs == ours, algorithm == "Ed25519", "{algorithm}");
        let token = format!("{input}.{theirs}");
        let signer = world.trust().verify(&actor.chain, Purpose::Signing, noon()).unwrap();
        let verified = Unverified::parse(&token).unwrap().verify(SUBMISSION_TYPE, &signer).unwrap();
        let claims = Submission::read(&verified, &actor.party.trust_domain).unwrap();
        assert_eq!(claims.iss, actor.party);
    }
}
