//! Compact JSON Web Signatures (RFC 7515) in the one narrow form of this scheme.
//!
//! The protected header has exactly three members: `alg` from an allow-list, `typ`, and `x5t#S256`
//! naming the signing certificate. Keys come only from a chain that the trust store has verified;
//! a token can bring none. A fact in the header or payload that could be read in two ways
//! (duplicate members, unknown members, padded base64) is refused.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::signature::{self, UnparsedPublicKey};
use serde::{Deserialize, Serialize};

use crate::domain::ids::Digest;
use crate::domain::refusal::{Class, Refusal, Rule, Violation};
use crate::domain::time::Timestamp;
use crate::effects::{Algorithm, KeyFault, Signer};
use crate::protocol::hash::sha256;
use crate::protocol::trust::{Chain, Purpose, TrustStore, VerifiedCache, VerifiedChain};

/// The longest token that is read, in bytes. The largest of the protocol is under 3 KB.
pub const LARGEST_TOKEN: usize = 8 * 1024;

/// The token is longer than any of this protocol.
pub const TOO_LARGE: Rule = Rule {
    id: "jws.too-large",
    title: "the token is longer than 8 KiB",
    action: "Send the compact JWS of this protocol; the document goes in the body.",
};
/// Not three base64url parts with the header of this scheme.
pub const MALFORMED: Rule = Rule {
    id: "jws.malformed",
    title: "the token is not a compact JWS with exactly the header members alg, typ and x5t#S256",
    action: "Sign again with a protected header of these three members, each once.",
};
/// `none`, HMAC, or anything else that is not on the list.
pub const ALGORITHM: Rule = Rule {
    id: "jws.algorithm",
    title: "the token's algorithm is not allowed, or is not that of the certificate's key",
    action: "Sign with ES256, ES384, Ed25519 or PS256, as the signing certificate's key requires.",
};
/// A token of another kind.
pub const TYPE: Rule = Rule {
    id: "jws.type",
    title: "the token's typ is not the one expected here",
    action: "Send the kind of token that this call takes.",
};
/// `x5t#S256` does not name the leaf of the chain beside the token.
pub const CERTIFICATE_MISMATCH: Rule = Rule {
    id: "jws.certificate-mismatch",
    title: "x5t#S256 does not name the certificate that came with the token",
    action: "Send the chain of the certificate whose key signed the token.",
};
/// The signature does not verify.
pub const SIGNATURE: Rule = Rule {
    id: "jws.signature",
    title: "the token's signature does not verify",
    action: "Sign the exact bytes that are sent, with the key of the named certificate.",
};

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header<'a> {
    #[serde(borrow)]
    alg: std::borrow::Cow<'a, str>,
    #[serde(borrow)]
    typ: std::borrow::Cow<'a, str>,
    #[serde(borrow, rename = "x5t#S256")]
    x5t: std::borrow::Cow<'a, str>,
}

/// Signs `claims` as a compact JWS of the kind `typ`, naming the certificate `x5t`.
pub fn sign(
    signer: &dyn Signer,
    typ: &str,
    x5t: Digest,
    claims: &impl Serialize,
) -> Result<String, KeyFault> {
    let header = Header {
        alg: signer.algorithm().as_str().into(),
        typ: typ.into(),
        x5t: x5t.to_string().into(),
    };
    // Serialising plain structs of strings and numbers into memory cannot fail.
    let header = serde_json::to_vec(&header).map_err(|_| KeyFault::SigningFailed)?;
    let claims = serde_json::to_vec(claims).map_err(|_| KeyFault::SigningFailed)?;
    let mut token = String::with_capacity((header.len() + claims.len()) * 4 / 3 + 96);
    URL_SAFE_NO_PAD.encode_string(header, &mut token);
    token.push('.');
    URL_SAFE_NO_PAD.encode_string(claims, &mut token);
    let signature = signer.sign(token.as_bytes())?;
    token.push('.');
    URL_SAFE_NO_PAD.encode_string(signature, &mut token);
    Ok(token)
}

/// A token whose form is right and whose signature nobody has checked: it can only be asked which
/// certificate it names.
#[derive(Debug)]
pub struct Unverified<'a> {
    text: &'a str,
    signing_input: &'a str,
    algorithm: Algorithm,
    typ: String,
    x5t: Digest,
    payload: Vec<u8>,
    signature: Vec<u8>,
}

/// A payload whose signature verified against a verified chain, for the kind of token asked for.
#[derive(Debug, Clone)]
pub struct Verified {
    typ: String,
    payload: Vec<u8>,
    digest: Digest,
    signer: VerifiedChain,
}

fn refuse(rule: Rule) -> Refusal {
    Refusal::new(Class::Forbidden, Violation::whole(rule))
}

impl<'a> Unverified<'a> {
    /// Reads the form of a compact JWS, without trusting any of it.
    pub fn parse(text: &'a str) -> Result<Self, Refusal> {
        if text.len() > LARGEST_TOKEN {
            return Err(refuse(TOO_LARGE));
        }
        let malformed = || refuse(MALFORMED);
        let (signing_input, signature) = text.rsplit_once('.').ok_or_else(malformed)?;
        let (header, payload) = signing_input.split_once('.').ok_or_else(malformed)?;
        let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|_| malformed());
        let header = decode(header)?;
        // serde would read an array of the three values too.
        if header.first() != Some(&b'{') {
            return Err(malformed());
        }
        let header: Header = serde_json::from_slice(&header).map_err(|_| malformed())?;
        Ok(Self {
            text,
            signing_input,
            algorithm: Algorithm::from_name(&header.alg).ok_or_else(|| refuse(ALGORITHM))?,
            x5t: header.x5t.parse().map_err(|_| malformed())?,
            typ: header.typ.into_owned(),
            payload: decode(payload)?,
            signature: decode(signature)?,
        })
    }

    /// The certificate that the token says it was signed with.
    pub fn x5t(&self) -> Digest {
        self.x5t
    }

    /// The kind that the token says it is, not yet to be believed.
    pub fn typ(&self) -> &str {
        &self.typ
    }

    /// The claims, not to be believed: only to find what a token refers to before verifying it.
    pub fn peek<'s, T: Deserialize<'s>>(&'s self) -> Option<T> {
        serde_json::from_slice(&self.payload).ok()
    }

    /// Verifies it with the chain that came beside it, judged at `at`.
    pub fn verify_beside(
        self,
        chain: &Chain,
        typ: &str,
        (trust, cache): (&TrustStore, &VerifiedCache),
        at: Timestamp,
    ) -> Result<Verified, Refusal> {
        if self.x5t != chain.x5t() {
            return Err(refuse(CERTIFICATE_MISMATCH));
        }
        let signer = cache.verify(trust, chain, Purpose::Signing, at);
        self.verify(typ, &signer.map_err(|refusal| refuse(refusal.0))?)
    }

    /// Checks kind, certificate, algorithm and signature.
    pub fn verify(self, typ: &str, chain: &VerifiedChain) -> Result<Verified, Refusal> {
        if self.typ != typ {
            return Err(refuse(TYPE));
        }
        // A chain checked for TLS never reaches here by accident; if it does, fail closed.
        if chain.x5t() != self.x5t || chain.purpose() != Purpose::Signing {
            return Err(refuse(CERTIFICATE_MISMATCH));
        }
        let key = chain.public_key();
        if key.algorithm != self.algorithm {
            return Err(refuse(ALGORITHM));
        }
        let algorithm: &dyn signature::VerificationAlgorithm = match key.algorithm {
            Algorithm::Es256 => &signature::ECDSA_P256_SHA256_FIXED,
            Algorithm::Es384 => &signature::ECDSA_P384_SHA384_FIXED,
            Algorithm::Ed25519 => &signature::ED25519,
            Algorithm::Ps256 => &signature::RSA_PSS_2048_8192_SHA256,
        };
        UnparsedPublicKey::new(algorithm, &key.bytes)
            .verify(self.signing_input.as_bytes(), &self.signature)
            .map_err(|_| refuse(SIGNATURE))?;
        Ok(Verified {
            typ: self.typ,
            payload: self.payload,
            digest: sha256(self.text.as_bytes()),
            signer: chain.clone(),
        })
    }
}

/// Verifies the token in `text` with the chain that came beside it, judged at `at`: what every reader of
/// tokens does first.
pub fn verify_beside(
    text: &str,
    chain: &Chain,
    typ: &str,
    trust: (&TrustStore, &VerifiedCache),
    at: Timestamp,
) -> Result<Verified, Refusal> {
    Unverified::parse(text)?.verify_beside(chain, typ, trust, at)
}

impl Verified {
    /// The kind of token that it is.
    pub fn typ(&self) -> &str {
        &self.typ
    }

    /// The bytes of the payload.
    pub fn payload(&self) -> &[u8] {
        &self.payload
    }

    /// SHA-256 of the compact token: how other tokens refer to this one.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// Who signed it.
    pub fn signer(&self) -> &VerifiedChain {
        &self.signer
    }

    /// The same, when nothing else of it is needed any more.
    pub fn into_signer(self) -> VerifiedChain {
        self.signer
    }
}
