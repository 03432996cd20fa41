use std::fmt;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// A shorter token could be guessed.
const LEAST: usize = 16;

/// What a client must know.
#[derive(Clone)]
pub struct Token(String);

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The file cannot be read.
    #[error("cannot read the token {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Others can read it.
    #[error("others can read the token {}; run: chmod 600 {}", .0.display(), .0.display())]
    Open(PathBuf),
    /// It is no token.
    #[error(
        "{} does not hold a token: one line of {LEAST} visible characters or more, as \
         `openssl rand -hex 32` makes it",
        .0.display()
    )]
    Content(PathBuf),
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token")
    }
}

impl Token {
    /// Reads a token from a file that only its owner may read.
    pub fn read(path: &Path) -> Result<Token, TokenError> {
        let failed = |source| TokenError::Read {
            path: path.to_owned(),
            source,
        };
        let mode = std::fs::metadata(path)
            .map_err(failed)?
            .permissions()
            .mode();
        if mode & 0o077 != 0 {
            return Err(TokenError::Open(path.to_owned()));
        }
        let text = std::fs::read_to_string(path).map_err(failed)?;
        let text = text.trim_end();
        if text.len() < LEAST || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(TokenError::Content(path.to_owned()));
        }
        Ok(Token(text.to_owned()))
    }

    /// Whether the value of an `Authorization` header holds it, alone or as the password of any
    /// user (RFC 6750, RFC 7617); takes as long for any value of its length.
    pub(super) fn is_in(&self, header: &[u8]) -> bool {
        if let Some(basic) = header.strip_prefix(b"Basic ") {
            let Ok(login) = STANDARD.decode(basic) else {
                return false;
            };
            let colon = login.iter().position(|byte| *byte == b':');
            return colon.is_some_and(|colon| self.is(&login[colon + 1..]));
        }
        header
            .strip_prefix(b"Bearer ")
            .is_some_and(|given| self.is(given))
    }

    fn is(&self, given: &[u8]) -> bool {
        let ours = self.0.as_bytes();
        let differ = ours.iter().zip(given).fold(0, |sum, (a, b)| sum | (a ^ b));
        ours.len() == given.len() && differ == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_long_and_secret() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        let read = |text: &str, mode| {
            std::fs::write(&path, text).unwrap();
            let mode = std::fs::Permissions::from_mode(mode);
            std::fs::set_permissions(&path, mode).unwrap();
            Token::read(&path).map_err(|error| error.to_string())
        };
        let token = read("0123456789abcdef\n", 0o600).unwrap();
        assert!(token.is_in(b"Bearer 0123456789abcdef"));
        for login in ["any:0123456789abcdef", ":0123456789abcdef"] {
            let header = format!("Basic {}", STANDARD.encode(login));
            assert!(token.is_in(header.as_bytes()), "{login}");
        }
        for login in [
            "0123456789abcdef",
            "0123456789abcdef:",
            "a:b:0123456789abcdef",
        ] {
            let header = format!("Basic {}", STANDARD.encode(login));
            assert!(!token.is_in(header.as_bytes()), "{login}");
        }
        for header in [
            "Basic",
            "Basic ",
            "Basic ?",
            "0123456789abcdef",
            "Bearer 0123456789abcdeF",
            "Bearer 0",
            "Bearer ",
        ] {
            assert!(!token.is_in(header.as_bytes()), "{header}");
        }
        assert_eq!(format!("{token:?}"), "Token");
        assert!(
            read("0123456789abcdef", 0o640)
                .unwrap_err()
                .contains("chmod 600")
        );
        for text in [
            "short",
            "",
            "with a blank in the middle",
            "two lines of\ntext here too",
        ] {
            assert!(read(text, 0o600).unwrap_err().contains("openssl"), "{text}");
        }
        let none = Token::read(&folder.path().join("none")).unwrap_err();
        assert!(none.to_string().starts_with("cannot read the token /"));
    }
}
