//! What a new password has to be like.

use super::leaked::Leaked;
use super::normal;
use crate::functions::manifest::auth::{CharacterClass, PasswordRules};
use crate::limits;
use crate::services::auth::fault::Fault;

/// Whether `password` may become a user's.
///
/// With a file of leaked passwords it reads some 25 blocks of that.
///
/// # Errors
/// 400 when it is longer than [`limits::PASSWORD_BYTES_MAX`]; else [`Fault::weak_password`] with every reason
/// together, in the dialect's words, which clients compare.
pub fn check(rules: &PasswordRules, leaked: &Leaked, password: &str) -> Result<(), Fault> {
    if password.len() > limits::PASSWORD_BYTES_MAX {
        return Err(too_long());
    }
    let password = normal(password);
    let mut reasons = Vec::new();
    let mut messages = Vec::new();
    if password.chars().count() < rules.min as usize {
        reasons.push("length");
        messages.push(format!(
            "Password should be at least {} characters.",
            rules.min
        ));
    }
    let has = |class: &CharacterClass| password.chars().any(|char| is_of(*class, char));
    if !rules.required.iter().all(has) {
        let sets: Vec<&str> = rules
            .required
            .iter()
            .map(|class| examples(*class))
            .collect();
        reasons.push("characters");
        messages.push(format!(
            "Password should contain at least one character of each: {}.",
            sets.join(", ")
        ));
    }
    if rules.refuse_leaked && leaked.contains(&password) {
        reasons.push("pwned");
        messages.push(
            "Password is known to be weak and easy to guess, please choose a different one."
                .to_owned(),
        );
    }
    match reasons.is_empty() {
        true => Ok(()),
        false => Err(Fault::weak_password(messages.join(" "), reasons)),
    }
}

pub(super) fn too_long() -> Fault {
    Fault::invalid(format!(
        "Password cannot be longer than {} bytes",
        limits::PASSWORD_BYTES_MAX
    ))
}

/// Letters of all scripts count.
fn is_of(class: CharacterClass, char: char) -> bool {
    match class {
        CharacterClass::Lower => char.is_lowercase(),
        CharacterClass::Upper => char.is_uppercase(),
        CharacterClass::Digit => char.is_numeric(),
        CharacterClass::Symbol => {
            !char.is_alphanumeric() && !char.is_whitespace() && !char.is_control()
        }
    }
}

fn examples(class: CharacterClass) -> &'static str {
    match class {
        CharacterClass::Lower => "abcdefghijklmnopqrstuvwxyz",
        CharacterClass::Upper => "ABCDEFGHIJKLMNOPQRSTUVWXYZ",
        CharacterClass::Digit => "0123456789",
        CharacterClass::Symbol => r#"!@#$%^&*()_+-=[]{};'\:"|<>?,./`~"#,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(rules: &PasswordRules, password: &str) -> (Vec<&'static str>, String) {
        match check(rules, &Leaked::open(None).unwrap(), password) {
            Ok(()) => (Vec::new(), String::new()),
            Err(fault) => (fault.reasons.clone(), fault.to_string()),
        }
    }

    #[test]
    fn characters_are_counted_and_not_bytes() {
        let rules = PasswordRules {
            min: 6,
            required: Vec::new(),
            refuse_leaked: false,
        };
        let short = (
            vec!["length"],
            "Password should be at least 6 characters.".to_owned(),
        );
        let good = (Vec::new(), String::new());
        assert_eq!(judged(&rules, "abcde"), short);
        assert_eq!(judged(&rules, "abcdef"), good);
        assert_eq!(judged(&rules, "éééééé"), good);
        assert_eq!(judged(&rules, "ééééé"), short);
        // Five letters, each with an accent of its own.
        assert_eq!(judged(&rules, "e\u{301}".repeat(5).as_str()), short);
        assert_eq!(judged(&rules, "e\u{301}".repeat(6).as_str()), good);
        assert_eq!(judged(&rules, ""), short);
    }

    #[test]
    fn the_longest_is_taken_and_a_longer_one_is_no_weak_one() {
        let rules = PasswordRules {
            min: 6,
            required: Vec::new(),
            refuse_leaked: true,
        };
        let leaked = Leaked::open(None).unwrap();
        assert!(check(&rules, &leaked, &"x".repeat(limits::PASSWORD_BYTES_MAX)).is_ok());
        let long = "x".repeat(limits::PASSWORD_BYTES_MAX + 1);
        let fault = check(&rules, &leaked, &long).unwrap_err();
        assert_eq!(
            (fault.status.as_u16(), &*fault.code, fault.message.as_str()),
            (
                400,
                "validation_failed",
                "Password cannot be longer than 1024 bytes"
            )
        );
    }

    #[test]
    fn each_sort_of_character_is_missed() {
        let rules = PasswordRules {
            min: 1,
            required: vec![
                CharacterClass::Lower,
                CharacterClass::Upper,
                CharacterClass::Digit,
                CharacterClass::Symbol,
            ],
            refuse_leaked: false,
        };
        for good in ["aB3!", "äÖ٣§"] {
            assert_eq!(judged(&rules, good).0, Vec::<&str>::new(), "{good}");
        }
        for weak in ["B3!", "a3!", "aB!", "aB3", "aB3 ", "aB3\n"] {
            let (reasons, message) = judged(&rules, weak);
            assert_eq!(reasons, ["characters"], "{weak:?}");
            assert!(
                message.starts_with("Password should contain at least one character of each: abcdefghijklmnopqrstuvwxyz, ABCDEFGHIJKLMNOPQRSTUVWXYZ, 0123456789, !@#$%^&*()"),
                "{message}"
            );
        }
    }

    #[test]
    fn all_reasons_are_told_together() {
        let rules = PasswordRules {
            min: 8,
            required: vec![CharacterClass::Digit],
            refuse_leaked: true,
        };
        let (reasons, message) = judged(&rules, "dragon");
        assert_eq!(reasons, ["length", "characters", "pwned"]);
        assert_eq!(
            message,
            "Password should be at least 8 characters. Password should contain at least one character of each: 0123456789. Password is known to be weak and easy to guess, please choose a different one."
        );
        let open = PasswordRules {
            refuse_leaked: false,
            ..rules
        };
        assert_eq!(judged(&open, "dragon").0, ["length", "characters"]);
    }
}
