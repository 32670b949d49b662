//! Decides what counts as a secret that got out: canaries are planted where secrets are, and looked
//! for in everything that came out, in each form in which a program may print bytes.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use std::fs;
use std::path::Path;

/// Secrets that occur nowhere but where they were planted.
#[derive(Debug, Default)]
pub struct Canaries(Vec<Canary>);

#[derive(Debug)]
struct Canary {
    /// Where it was planted.
    place: String,
    secret: String,
}

impl Canaries {
    /// A new secret for a place: letters and digits, so that nothing has to be escaped.
    pub fn plant(&mut self, place: &str) -> String {
        let number = self.0.len() as u64;
        // Numbers scattered over all letters: no two have a long beginning in common.
        let scattered = (number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let letters = (0..10).map(|i| char::from(b'a' + (scattered >> (i * 5) & 15) as u8));
        let secret = format!("cnry{number:02}{}", letters.collect::<String>());
        self.known(place, &secret);
        secret
    }

    /// A secret that was not made here.
    pub fn known(&mut self, place: &str, secret: &str) {
        self.0.push(Canary { place: place.to_owned(), secret: secret.to_owned() });
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// What of them is in `bytes`: a line each, with its surroundings.
    pub fn found_in(&self, what: &str, bytes: &[u8]) -> Vec<String> {
        let lower = bytes.to_ascii_lowercase();
        let mut found = Vec::new();
        for Canary { place, secret } in &self.0 {
            for (form, text) in forms(secret) {
                // Base64 tells capitals from small letters.
                let hay = if form == "base64" { bytes } else { &lower };
                if let Some(at) = position(hay, text.as_bytes()) {
                    let around = &bytes[at.saturating_sub(160)..bytes.len().min(at + 160)];
                    let around = String::from_utf8_lossy(around).replace('\n', "⏎");
                    found.push(format!("{place} is in {what} as {form}: …{around}…"));
                }
            }
        }
        found
    }

    /// The same of all files below a directory, but for those named.
    pub fn found_below(&self, directory: &Path, except: &[&str]) -> Vec<String> {
        let mut found = Vec::new();
        for entry in fs::read_dir(directory).expect("the directory can be read").flatten() {
            let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
            if except.contains(&name.as_str()) {
                continue;
            }
            found.extend(self.found_in("a file's name", name.as_bytes()));
            if path.is_dir() {
                found.extend(self.found_below(&path, except));
            } else if let Ok(bytes) = fs::read(&path) {
                found.extend(self.found_in(&path.display().to_string(), &bytes));
            }
        }
        found
    }
}

fn position(hay: &[u8], needle: &[u8]) -> Option<usize> {
    hay.windows(needle.len()).position(|window| window == needle)
}

/// A secret as programs print it; in small letters, but for base64.
fn forms(secret: &str) -> Vec<(&'static str, String)> {
    let each = |form: &dyn Fn(u8) -> String, between: &str| {
        secret.bytes().map(form).collect::<Vec<_>>().join(between)
    };
    let mut forms = vec![
        ("itself", secret.to_ascii_lowercase()),
        ("percent-encoded", each(&|byte| format!("%{byte:02x}"), "")),
        ("hexadecimal", each(&|byte| format!("{byte:02x}"), "")),
        ("numbers", each(&|byte| byte.to_string(), ", ")),
    ];
    let where_needed = |byte: u8| match byte {
        b if b.is_ascii_alphanumeric() => char::from(b.to_ascii_lowercase()).to_string(),
        b => format!("%{b:02x}"),
    };
    if secret.bytes().any(|byte| !byte.is_ascii_alphanumeric()) {
        forms.push(("percent-encoded", each(&where_needed, "")));
    }
    // Base64 of a text that has it in the middle depends on what stands before: that which is the
    // same in all of them, for each of three beginnings.
    for before in 0..3 {
        let text = [&vec![b'-'; before][..], secret.as_bytes()].concat();
        let whole = STANDARD_NO_PAD.encode(&text[..text.len() / 3 * 3]);
        forms.push(("base64", whole[[0, 2, 3][before]..].to_owned()));
    }
    forms
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::engine::general_purpose::STANDARD;

    #[test]
    fn each_form_is_found() {
        let mut canaries = Canaries::default();
        let secret = canaries.plant("here");
        let other = canaries.plant("there");
        canaries.known("a password", "p&w;12");
        assert_ne!(secret, other);
        let of = |text: &str| canaries.found_in("it", text.as_bytes());
        let hex: String = secret.bytes().map(|b| format!("{b:02X}")).collect();
        let percent: String = secret.bytes().map(|b| format!("%{b:02X}")).collect();
        for shown in [
            format!("x={secret};"),
            secret.to_uppercase(),
            hex,
            percent,
            format!("{:?}", secret.as_bytes()),
            STANDARD.encode(&secret),
            STANDARD.encode(format!("me:{secret}!")),
            STANDARD.encode(format!("you:{secret}")),
            STANDARD.encode(format!("admin:{secret}")),
        ] {
            let found = of(&shown);
            assert_eq!(found.len(), 1, "{shown}: {found:?}");
            assert!(found[0].starts_with("here is in it as "), "{found:?}");
        }
        assert_eq!(of("p%26w%3b12").len(), 1);
        assert_eq!(of(&secret[1..]), [""; 0]);
    }

    #[test]
    fn files_are_searched() {
        let directory = tempfile::tempdir().unwrap();
        let mut canaries = Canaries::default();
        let secret = canaries.plant("here");
        fs::create_dir(directory.path().join("a")).unwrap();
        fs::write(directory.path().join("a/b"), [b"\xff", secret.as_bytes()].concat()).unwrap();
        fs::write(directory.path().join(&secret), "").unwrap();
        assert_eq!(canaries.found_below(directory.path(), &[]).len(), 2);
        assert_eq!(canaries.found_below(directory.path(), &["a"]).len(), 1);
    }
}
