use serde::de::DeserializeOwned;

use super::DataError;
use crate::row;

/// The rows that a call answered with.
#[derive(Clone, Debug)]
pub struct Rows {
    json: String,
}

impl Rows {
    pub(super) fn new(json: String) -> Self {
        Self { json }
    }

    /// All of them.
    ///
    /// # Errors
    /// [`DataError::Unreadable`], naming the column that does not fit `T`.
    pub fn rows<T: DeserializeOwned>(&self) -> Result<Vec<T>, DataError> {
        // The whole at once is the fast way; who is to blame is asked afterwards.
        serde_json::from_str(&self.json).or_else(|_| self.texts().into_iter().map(read).collect())
    }

    /// The first, if there is one.
    ///
    /// # Errors
    /// [`DataError::Unreadable`], naming the column that does not fit `T`.
    pub fn first<T: DeserializeOwned>(&self) -> Result<Option<T>, DataError> {
        self.texts().first().map(|row| read(row)).transpose()
    }

    /// The only one.
    ///
    /// # Errors
    /// [`DataError::NoRow`], [`DataError::ManyRows`]; [`DataError::Unreadable`], naming the column that does not
    /// fit `T`.
    pub fn single<T: DeserializeOwned>(&self) -> Result<T, DataError> {
        match self.texts().as_slice() {
            [] => Err(DataError::NoRow),
            [row] => read(row),
            _ => Err(DataError::ManyRows),
        }
    }

    /// How many they are.
    pub fn count(&self) -> usize {
        self.texts().len()
    }

    /// The JSON array itself.
    pub fn json(&self) -> &str {
        &self.json
    }

    pub fn into_json(self) -> String {
        self.json
    }

    fn texts(&self) -> Vec<&str> {
        row::parts(&self.json)
    }
}

fn read<T: DeserializeOwned>(text: &str) -> Result<T, DataError> {
    row::read(text).map_err(DataError::Unreadable)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, serde::Deserialize)]
    struct Thing {
        id: i64,
    }

    #[test]
    fn none_one_and_many() {
        let check = |json: &str, single: Result<i64, DataError>, first: Option<i64>, count| {
            let rows = Rows::new(json.into());
            let id = |thing: Thing| thing.id;
            assert_eq!(rows.single().map(id), single, "{json}");
            assert_eq!(rows.first().map(|found| found.map(id)), Ok(first), "{json}");
            assert_eq!(rows.count(), count, "{json}");
            assert_eq!(
                rows.rows::<Thing>().map(|all| all.len()),
                Ok(count),
                "{json}"
            );
        };
        check("[]", Err(DataError::NoRow), None, 0);
        check(r#"[{"id":1,"more":true}]"#, Ok(1), Some(1), 1);
        check(
            r#"[{"id":2},{"id":1}]"#,
            Err(DataError::ManyRows),
            Some(2),
            2,
        );
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let rows = Rows::new(r#"[{"id":1},{"id":"x"}]"#.into());
        let why = "`id`: invalid type: string \"x\", expected i64";
        assert_eq!(rows.rows::<Thing>(), Err(DataError::Unreadable(why.into())));
        assert_eq!(rows.first::<Thing>(), Ok(Some(Thing { id: 1 })));
    }
}
