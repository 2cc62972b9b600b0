//! The rules of `/auth/v1`, and `[auth.rates]` over them.
//!
//! Every rule that an address (an e-mail address, a phone number) takes part in stands beside one of the
//! client's network. What somebody can lock is thought of as well: wrong passwords count for the pair of
//! address and network, so that a stranger's attempts never keep a user out who comes from elsewhere.
//! Only mails are counted for an address alone, because there it is the user who suffers from the
//! stranger's requests; a password goes on to open the account meanwhile. Second factors are counted for
//! the user: only who has the first one can use them up, and six digits would not last otherwise.
//!
//! Source of the usual numbers: <https://supabase.com/docs/guides/auth/rate-limits>.

use std::time::Duration;

use super::{Decision, Key, Rates, Rule, Whom};
use crate::functions::App;
use crate::services::auth::fault::Fault;

const MINUTE: Duration = Duration::from_secs(60);
const FIVE_MINUTES: Duration = Duration::from_secs(300);
const HOUR: Duration = Duration::from_secs(3600);

macro_rules! rules {
    ($($(#[$doc:meta])* $id:ident $name:literal $count:literal $per:ident $whom:ident;)*) => {
        $($(#[$doc])* pub static $id: Rule = Rule {
            name: $name,
            count: $count,
            per: $per,
            burst: $count,
            whom: Whom::$whom,
        };)*

        /// All rules, as they stand above.
        pub static RULES: [&Rule; [$($count),*].len()] = [$(&$id),*];
    };
}

rules! {
    /// Users that are made.
    SIGN_UP "sign_up" 30 FIVE_MINUTES Ip;
    /// Sign-ins with a password, a code of a flow, or another's token.
    SIGN_IN "sign_in" 30 FIVE_MINUTES Ip;
    /// Sign-ins to one account from one network.
    SIGN_IN_ADDRESS "sign_in_address" 10 FIVE_MINUTES AddressFrom;
    /// Refresh tokens that are used.
    REFRESH "refresh" 150 FIVE_MINUTES Ip;
    /// Codes and links that are tried.
    VERIFY "verify" 30 FIVE_MINUTES Ip;
    /// Requests that cause a mail or a message.
    MAIL "mail" 10 HOUR Ip;
    /// Mails and messages of the app: as many as thirty clients may ask for, so that one cannot use them up.
    MAIL_APP "mail_app" 300 HOUR App;
    /// Mails and messages to one address.
    MAIL_ADDRESS "mail_address" 10 HOUR Address;
    /// Anonymous users that are made.
    ANONYMOUS "anonymous" 30 HOUR Ip;
    /// Codes of second factors that are tried.
    FACTOR "factor" 15 MINUTE Ip;
    /// The same for one user.
    FACTOR_USER "factor_user" 15 FIVE_MINUTES User;
}

/// The names that `[auth.rates]` may have.
pub fn names() -> Vec<&'static str> {
    RULES.iter().map(|rule| rule.name).collect()
}

impl Rates {
    /// Takes `cost` units of a rule of `app`, which may say another number than is usual. Of rules that
    /// belong together take the client's first: who is refused there costs nobody else anything.
    ///
    /// # Errors
    /// 429 in the dialect's words, with the decision for the answer's headers.
    pub async fn limit<'k>(
        &self,
        app: &App,
        rule: &'static Rule,
        key: impl Into<Key<'k>>,
        cost: u32,
    ) -> Result<Decision, Fault> {
        let per_hour = app.auth().rates.get(rule.name).copied();
        let key = key.into();
        let decision = self.take_at(app.id, rule, rule.pace(per_hour), &key, cost);
        let decision = decision.await;
        match decision.allowed {
            true => Ok(decision),
            false => Err(refused(rule, decision)),
        }
    }
}

fn refused(rule: &Rule, decision: Decision) -> Fault {
    let mails = rule.name == MAIL_APP.name || rule.name == MAIL_ADDRESS.name;
    let (code, message) = match mails {
        true => ("over_email_send_rate_limit", "Email rate limit exceeded"),
        false => ("over_request_rate_limit", "Request rate limit reached"),
    };
    Fault {
        rate: Some(Box::new(decision)),
        ..Fault::too_many(code, message, decision.retry_seconds())
    }
}

#[cfg(test)]
mod tests {
    use pumice_host_api::AppId;
    use uuid::Uuid;

    use super::*;

    #[test]
    fn names_are_apart_and_no_address_stands_alone() {
        let names: std::collections::BTreeSet<&str> = names().into_iter().collect();
        assert_eq!(names.len(), RULES.len());
        let whom = |name: &str| {
            let found = RULES.iter().find(|rule| rule.name == name);
            found.map(|rule| rule.whom)
        };
        for rule in RULES {
            if let Some(beside) = rule.name.strip_suffix("_address") {
                assert_eq!(whom(beside), Some(Whom::Ip), "{}", rule.name);
            }
        }
    }

    /// As a request for a mail takes them: the client's first.
    #[tokio::test]
    async fn one_client_leaves_the_app_its_mails() {
        let rates = Rates::open(None).await.unwrap();
        let app = AppId(Uuid::new_v4());
        let mails = async |client: &str| {
            let client = Key::Ip(client.parse().unwrap());
            let mut mails = 0;
            while rates.take(app, &MAIL, &client, 1).await.allowed
                && rates.take(app, &MAIL_APP, &Key::App, 1).await.allowed
            {
                mails += 1;
            }
            mails
        };
        assert_eq!(mails("192.0.2.1").await, 10);
        for other in 2..30 {
            assert_eq!(mails(&format!("192.0.2.{other}")).await, 10, "{other}");
        }
    }

    #[test]
    fn a_refusal_says_when_to_come_again() {
        let (_, decision) = SIGN_IN.pace(None).take(u64::MAX, 1, 1);
        let fault = refused(&SIGN_IN, decision);
        assert_eq!(fault.code, "over_request_rate_limit");
        assert_eq!((fault.status.as_u16(), fault.retry_after), (429, Some(10)));
        assert_eq!(fault.rate.as_deref(), Some(&decision));
        let fault = refused(&MAIL_ADDRESS, decision);
        assert_eq!(fault.code, "over_email_send_rate_limit");
    }
}
