//! Whose account a sign-in at a provider opens: a decision on facts, without a database.
//!
//! An account is somebody's who has proved its address. Whoever has not, even if he was there first and set
//! a password, must not be found in the account of the one who has. So an address that a provider vouches
//! for opens a confirmed account, takes over an unconfirmed one after everything unproven in it is gone, and
//! an address that nobody vouches for opens nothing that exists.
//!
//! Source: CVE-2026-44166 and CVE-2024-38351 (accounts prepared for their victims), and nOAuth
//! <https://www.descope.com/blog/post/noauth> (addresses that a tenant of Microsoft's makes up).

use uuid::Uuid;

/// An address as a provider gave it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Email {
    /// As [`address`] writes it.
    pub address: String,
    /// Whether the provider's word on it is proof.
    pub verified: bool,
}

/// What there is already.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// Whom the identity belongs to.
    pub owner: Option<Account>,
    /// Who has the address.
    pub holder: Option<Account>,
    /// Who asked, signed in, that the identity be added.
    pub linking: Option<Account>,
    /// Whether anybody may become a user.
    pub signup: bool,
    /// Whether the app takes addresses as confirmed without a mail.
    pub autoconfirm: bool,
}

/// What matters of a user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    pub id: Uuid,
    pub email: Option<String>,
    pub confirmed: bool,
    /// Whether something else of the user's is proved: a phone number. Such an account is nobody else's to
    /// take over, whoever has the address.
    pub proved: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// The identity's user comes back.
    SignIn {
        user: Uuid,
    },
    /// The same, and the provider now vouches for the address that the user had not proved: everything else
    /// in the account goes.
    Confirm {
        user: Uuid,
    },
    /// The identity is added to the user who has the address; with `take_over`, who had not proved it, and
    /// everything else in the account goes.
    Link {
        user: Uuid,
        take_over: bool,
    },
    /// The identity is added to the user who asked for it.
    Add {
        user: Uuid,
    },
    /// A new user; with `confirmed`, one whose address is proved.
    SignUp {
        confirmed: bool,
    },
    /// A new user who has to prove the address before anything opens.
    SignUpToConfirm,
    /// The identity's user has to prove the address first.
    ToConfirm {
        user: Uuid,
    },
    /// The address is somebody's, and nobody vouches for it, or not for the rest of the account. The client is told the same as in
    /// [`ToConfirm`](Decision::ToConfirm): who has an account is nobody's business.
    Taken,
    /// The identity is another user's.
    OfAnother,
    /// The identity is the asking user's already.
    Already,
    SignupDisabled,
}

/// Whose account this is.
pub fn decide(email: Option<&Email>, facts: &Facts) -> Decision {
    if let Some(linking) = &facts.linking {
        return match &facts.owner {
            None => Decision::Add { user: linking.id },
            Some(owner) if owner.id == linking.id => Decision::Already,
            Some(_) => Decision::OfAnother,
        };
    }
    if let Some(owner) = &facts.owner {
        // Who has no address has nothing to prove, and who has proved a number is known.
        return match &owner.email {
            Some(own) if !owner.confirmed && !owner.proved => match email {
                Some(email) if email.verified && email.address == *own => {
                    Decision::Confirm { user: owner.id }
                }
                _ => Decision::ToConfirm { user: owner.id },
            },
            _ => Decision::SignIn { user: owner.id },
        };
    }
    let Some(email) = email else {
        return match facts.signup {
            true => Decision::SignUp { confirmed: false },
            false => Decision::SignupDisabled,
        };
    };
    match &facts.holder {
        Some(holder) if email.verified && (holder.confirmed || !holder.proved) => Decision::Link {
            user: holder.id,
            take_over: !holder.confirmed,
        },
        Some(_) => Decision::Taken,
        None if !facts.signup => Decision::SignupDisabled,
        None if email.verified || facts.autoconfirm => Decision::SignUp { confirmed: true },
        None => Decision::SignUpToConfirm,
    }
}

/// An address as it is stored and compared; none if it is no address.
///
/// Only ASCII letters are lowered: `K` (the sign of kelvin) is a letter of another mailbox, and becomes
/// `k` in Unicode's lower case.
pub fn address(text: &str) -> Option<String> {
    let text = text.trim();
    let (local, domain) = text.rsplit_once('@')?;
    let fits = !local.is_empty()
        && !domain.is_empty()
        && text.len() <= 254
        && !local.contains('@')
        && !text.chars().any(|c| c.is_control() || c.is_whitespace());
    fits.then(|| text.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWNER: Uuid = Uuid::from_u128(1);
    const HOLDER: Uuid = Uuid::from_u128(2);
    const LINKING: Uuid = Uuid::from_u128(3);

    fn account(id: Uuid, email: Option<&str>, confirmed: bool) -> Account {
        Account {
            id,
            email: email.map(str::to_owned),
            confirmed,
            proved: false,
        }
    }

    fn by_phone() -> Account {
        Account {
            proved: true,
            ..account(HOLDER, Some("ann@example.com"), false)
        }
    }

    /// Every combination of what may be, with the address in another case as the provider sends it.
    fn every(mut look: impl FnMut(Option<&Email>, &Facts, Decision)) -> usize {
        let mine = address("Ann@Example.com").unwrap();
        let emails = [
            None,
            Some(Email {
                address: mine.clone(),
                verified: false,
            }),
            Some(Email {
                address: mine.clone(),
                verified: true,
            }),
        ];
        let owners = [
            None,
            Some(account(OWNER, None, false)),
            Some(account(OWNER, Some("ann@example.com"), false)),
            Some(account(OWNER, Some("ann@example.com"), true)),
            Some(account(OWNER, Some("other@example.com"), false)),
            Some(account(OWNER, Some("other@example.com"), true)),
            Some(account(LINKING, Some("other@example.com"), true)),
            Some(by_phone()),
        ];
        let holders = [
            None,
            Some(account(HOLDER, Some("ann@example.com"), false)),
            Some(account(HOLDER, Some("ann@example.com"), true)),
            Some(by_phone()),
        ];
        let linkings = [
            None,
            Some(account(LINKING, None, false)),
            Some(account(LINKING, Some("other@example.com"), true)),
        ];
        let mut count = 0;
        for email in &emails {
            for owner in &owners {
                for holder in &holders {
                    for linking in &linkings {
                        for (signup, autoconfirm) in
                            [(false, false), (false, true), (true, false), (true, true)]
                        {
                            let facts = Facts {
                                owner: owner.clone(),
                                // Nobody has an address that the provider did not give.
                                holder: holder.clone().filter(|_| email.is_some()),
                                linking: linking.clone(),
                                signup,
                                autoconfirm,
                            };
                            look(email.as_ref(), &facts, decide(email.as_ref(), &facts));
                            count += 1;
                        }
                    }
                }
            }
        }
        count
    }

    #[test]
    fn no_combination_gives_an_account_to_somebody_else() {
        let count = every(|email, facts, decision| {
            let proved = email.is_some_and(|email| email.verified);
            let shown = format!("{email:?} {facts:?} {decision:?}");
            match decision {
                Decision::SignIn { user } => {
                    let owner = facts.owner.as_ref().expect(&shown);
                    assert_eq!(user, owner.id, "{shown}");
                    let known = owner.confirmed || owner.proved;
                    assert!(known || owner.email.is_none(), "{shown}");
                    assert!(facts.linking.is_none(), "{shown}");
                }
                Decision::Confirm { user } => {
                    let owner = facts.owner.as_ref().expect(&shown);
                    assert!(proved && user == owner.id && !owner.confirmed, "{shown}");
                    assert_eq!(owner.email, email.map(|e| e.address.clone()), "{shown}");
                    assert!(!owner.proved, "{shown}");
                }
                Decision::Link { user, take_over } => {
                    let holder = facts.holder.as_ref().expect(&shown);
                    assert!(proved && user == holder.id, "{shown}");
                    assert_eq!(take_over, !holder.confirmed, "{shown}");
                    assert!(!(take_over && holder.proved), "{shown}");
                    assert!(facts.owner.is_none() && facts.linking.is_none(), "{shown}");
                }
                Decision::Add { user } => {
                    assert_eq!(user, LINKING, "{shown}");
                    assert!(facts.owner.is_none(), "{shown}");
                }
                Decision::SignUp { confirmed } => {
                    assert!(facts.signup && facts.holder.is_none(), "{shown}");
                    assert!(facts.owner.is_none() && facts.linking.is_none(), "{shown}");
                    let taken = email.is_some() && facts.autoconfirm;
                    assert_eq!(confirmed, proved || taken, "{shown}");
                }
                Decision::SignUpToConfirm => {
                    assert!(facts.signup && !proved && email.is_some(), "{shown}");
                    assert!(facts.holder.is_none() && facts.owner.is_none(), "{shown}");
                    assert!(!facts.autoconfirm, "{shown}");
                }
                Decision::ToConfirm { user } => {
                    let owner = facts.owner.as_ref().expect(&shown);
                    assert!(user == owner.id && !owner.confirmed, "{shown}");
                }
                Decision::Taken => {
                    let holder = facts.holder.as_ref().expect(&shown);
                    assert!(!proved || holder.proved, "{shown}");
                }
                Decision::OfAnother | Decision::Already => {
                    assert!(facts.linking.is_some() && facts.owner.is_some(), "{shown}");
                }
                Decision::SignupDisabled => {
                    assert!(!facts.signup && facts.owner.is_none(), "{shown}");
                    assert!(facts.linking.is_none() && facts.holder.is_none(), "{shown}");
                }
            }
        });
        assert_eq!(count, 3 * 8 * 4 * 3 * 4);
    }

    #[test]
    fn each_decision_is_somebodys() {
        let mut seen = std::collections::BTreeSet::new();
        every(|_, _, decision| {
            seen.insert(format!("{decision:?}").split(' ').next().map(str::to_owned));
        });
        assert_eq!(seen.len(), 11, "{seen:?}");
    }

    #[test]
    fn the_matrix() {
        let verified = |yes| {
            Some(Email {
                address: "ann@example.com".to_owned(),
                verified: yes,
            })
        };
        let holder = |confirmed| Some(account(HOLDER, Some("ann@example.com"), confirmed));
        let facts = |holder, signup| Facts {
            holder,
            signup,
            ..Facts::default()
        };
        for (email, facts, expect) in [
            (
                verified(true),
                facts(None, true),
                Decision::SignUp { confirmed: true },
            ),
            (verified(true), facts(None, false), Decision::SignupDisabled),
            (
                verified(false),
                facts(None, true),
                Decision::SignUpToConfirm,
            ),
            (
                verified(false),
                facts(None, false),
                Decision::SignupDisabled,
            ),
            (
                None,
                facts(None, true),
                Decision::SignUp { confirmed: false },
            ),
            (None, facts(None, false), Decision::SignupDisabled),
            (
                verified(true),
                facts(holder(true), false),
                Decision::Link {
                    user: HOLDER,
                    take_over: false,
                },
            ),
            (
                verified(true),
                facts(holder(false), false),
                Decision::Link {
                    user: HOLDER,
                    take_over: true,
                },
            ),
            (
                verified(true),
                facts(Some(by_phone()), true),
                Decision::Taken,
            ),
            (verified(false), facts(holder(true), true), Decision::Taken),
            (verified(false), facts(holder(false), true), Decision::Taken),
        ] {
            assert_eq!(
                decide(email.as_ref(), &facts),
                expect,
                "{email:?} {facts:?}"
            );
        }
    }

    #[test]
    fn addresses_are_compared_in_one_form() {
        assert_eq!(
            address(" Ann@Example.COM ").as_deref(),
            Some("ann@example.com")
        );
        // The sign of kelvin, and a dotted capital: other letters, other mailboxes.
        assert_ne!(address("mi\u{212a}e@x.org").as_deref(), Some("mike@x.org"));
        assert_ne!(address("M\u{130}KE@x.org").as_deref(), Some("mike@x.org"));
        let long = format!("{}@x.org", "a".repeat(249));
        for no in [
            "", "a", "@x", "a@", "a@b@c", "a b@c", "a\n@c", "a@c\u{0}", &long,
        ] {
            assert_eq!(address(no), None, "{no:?}");
        }
        assert!(address(&long[1..]).is_some());
    }
}
