use serde::Serialize;

use super::{DataError, Rows};
use crate::bindings::imports::pumice::platform::data as host;
use crate::row;

/// One SQL statement as the app, with `$1 …` bound to `parameters`, made by [`params!`](crate::data::params);
/// see [`Transaction::sql`](super::Transaction::sql) for one inside a transaction.
///
/// # Errors
/// [`DataError`]; [`DataError::Invalid`] if a parameter has no JSON form.
pub fn sql(statement: &str, parameters: Params) -> Result<Rows, DataError> {
    Ok(Rows::new(host::sql(statement, &parameters.into_json()?)?))
}

/// The parameters of a statement, in order.
#[derive(Clone, Debug, Default)]
pub struct Params {
    json: String,
    fault: Option<String>,
}

impl Params {
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds one. A fault is told by the call that takes the parameters.
    #[must_use]
    pub fn with<T: Serialize + ?Sized>(mut self, value: &T) -> Self {
        match row::to_text(value) {
            Ok(text) => {
                self.json.push(if self.json.is_empty() { '[' } else { ',' });
                self.json.push_str(&text);
            }
            Err(why) => self.fault = Some(why),
        }
        self
    }

    pub(super) fn into_json(self) -> Result<String, DataError> {
        match self {
            Params {
                fault: Some(why), ..
            } => Err(DataError::Invalid(format!("parameter: {why}"))),
            Params { json, .. } if json.is_empty() => Ok("[]".into()),
            Params { json, .. } => Ok(json + "]"),
        }
    }
}

/// `params![id, "name"]`: the parameters of [`data::sql`](crate::data::sql), anything that has a JSON form.
#[doc(hidden)]
#[macro_export]
macro_rules! __data_params {
    ($($value:expr),* $(,)?) => {
        $crate::data::Params::new()$(.with(&$value))*
    };
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use crate::data::{DataError, params};

    #[test]
    fn parameters_become_a_list() {
        let none: Option<i64> = None;
        assert_eq!(params![].into_json().as_deref(), Ok("[]"));
        assert_eq!(
            params![1, "a\"b", none, [true]].into_json().as_deref(),
            Ok(r#"[1,"a\"b",null,[true]]"#)
        );
        let without_form = HashMap::from([(Some(()), 1)]);
        let refused = params![1, without_form].into_json();
        assert!(matches!(refused, Err(DataError::Invalid(_))), "{refused:?}");
    }
}
