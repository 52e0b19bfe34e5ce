//! Settings that must not be shown.

use std::fmt;

use serde::Deserialize;
use zeroize::Zeroize;

/// A text that is wiped from memory when it is dropped, and never printed.
#[derive(Clone, Default, Deserialize)]
#[serde(transparent)]
pub(crate) struct Secret(String);

impl Secret {
    /// The text itself.
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_empty() {
            "Secret(empty)"
        } else {
            "Secret(…)"
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_output_does_not_give_a_secret_away() {
        let secret = Secret("hunter2".to_owned());

        assert_eq!(format!("{secret:?}"), "Secret(…)");
    }
}
