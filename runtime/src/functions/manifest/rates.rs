//! `[rates]`: how many requests an app answers in a minute.

use super::reader::{Reader, Table};
use crate::limits::{RATE_MINUTE_CEILING, RATE_PER_APP, RATE_PER_IP, RATE_PER_USER};
use crate::services::rates::RequestPaces;

impl Reader<'_> {
    /// The app's table; what is usual for what it leaves out.
    pub(super) fn request_rates(&mut self, root: &Table<'_>) -> RequestPaces {
        let rates = root.get("rates");
        let Some(rates) = rates.and_then(|value| self.table(value, "rates")) else {
            return RequestPaces::default();
        };
        self.known_keys(rates, "[rates]", &["per_ip", "per_user", "per_app"]);
        let mut count = |key: &str, usual: u32| {
            let max = u64::from(RATE_MINUTE_CEILING);
            let said = rates.get(key).map(|value| self.number(value, key, max));
            said.flatten().map_or(usual, |count| count as u32)
        };
        RequestPaces::per_minute(
            count("per_ip", RATE_PER_IP),
            count("per_user", RATE_PER_USER),
            count("per_app", RATE_PER_APP),
        )
    }
}
