//! Rows on their way out: a JSON array of objects, or csv.

use std::borrow::Cow;

use crate::data::plan::Output;
use crate::data::query::{Format, Rows};
use crate::data::sqlite_ffi::Row;
use crate::data::types::write_json_string;
use crate::data::{ANSWER_BYTES_MAX, DataError, Type};

use super::Runner;
use super::sql::Statement;

/// Gathers the rows of one or more statements.
pub struct Answer<'a> {
    /// None when rows are counted only.
    outputs: Option<&'a [Output]>,
    format: Format,
    /// What stands before each value of a JSON object: bracket or comma, and key.
    keys: Vec<Vec<u8>>,
    body: Vec<u8>,
    pub count: u64,
}

impl<'a> Answer<'a> {
    pub fn new(outputs: Option<&'a [Output]>, format: Format) -> Answer<'a> {
        let mut body = Vec::new();
        let mut keys = Vec::new();
        for (at, output) in outputs.unwrap_or_default().iter().enumerate() {
            match format {
                Format::Json => {
                    let mut key = vec![if at == 0 { b'{' } else { b',' }];
                    write_json_string(&output.key, &mut key);
                    key.push(b':');
                    keys.push(key);
                }
                Format::Csv => {
                    body.extend_from_slice(if at == 0 { b"" } else { b"," });
                    heading(&output.key, &mut body);
                }
            }
        }
        if format == Format::Csv && outputs.is_some() {
            body.push(b'\n');
        }
        Answer {
            outputs,
            format,
            keys,
            body,
            count: 0,
        }
    }

    /// Adds the rows of a statement that writes nothing; their values begin at column `from`.
    pub fn query(
        &mut self,
        runner: &Runner<'_>,
        statement: &Statement<'_>,
        types: &[Cow<'_, Type>],
        from: usize,
    ) -> Result<(), DataError> {
        runner.each(statement, |row| self.row(&row, types, from))
    }

    /// Adds a row whose values are of these types and begin at column `from`.
    ///
    /// # Errors
    /// [`DataError::TooLarge`].
    pub fn row(
        &mut self,
        row: &Row<'_>,
        types: &[Cow<'_, Type>],
        from: usize,
    ) -> Result<(), DataError> {
        self.count += 1;
        if self.outputs.is_none() {
            return Ok(());
        }
        match self.format {
            Format::Json => {
                self.body.push(if self.count == 1 { b'[' } else { b',' });
                for (at, (key, ty)) in self.keys.iter().zip(types).enumerate() {
                    self.body.extend_from_slice(key);
                    ty.write_json(row.get(from + at), &mut self.body);
                }
                self.body
                    .extend_from_slice(if self.keys.is_empty() { b"{}" } else { b"}" });
            }
            Format::Csv => {
                if self.count > 1 {
                    self.body.push(b'\n');
                }
                let mut text = String::new();
                for (at, ty) in types.iter().enumerate() {
                    if at > 0 {
                        self.body.push(b',');
                    }
                    let value = row.get(from + at);
                    if value != crate::data::ValueRef::Null {
                        text.clear();
                        ty.write_text(value, &mut text);
                        field(&text, &mut self.body);
                    }
                }
            }
        }
        if self.body.len() > ANSWER_BYTES_MAX {
            return Err(super::super::super::answer_too_large());
        }
        Ok(())
    }

    pub fn finish(mut self) -> Rows {
        if self.format == Format::Json || self.outputs.is_none() {
            if self.body.is_empty() {
                self.body.push(b'[');
            }
            self.body.push(b']');
        }
        Rows {
            body: self.body,
            count: self.count,
            ..Rows::default()
        }
    }
}

/// Appends a name to the header line, quoted where csv asks for it.
fn heading(name: &str, line: &mut Vec<u8>) {
    match name.contains([',', '"', '\n', '\r']) {
        true => line.extend_from_slice(format!("\"{}\"", name.replace('"', "\"\"")).as_bytes()),
        false => line.extend_from_slice(name.as_bytes()),
    }
}

/// Appends a row as a JSON object.
pub fn write_object(columns: &[(&str, &Type)], row: &Row<'_>, json: &mut Vec<u8>) {
    json.push(b'{');
    for (at, (key, ty)) in columns.iter().enumerate() {
        if at > 0 {
            json.push(b',');
        }
        write_json_string(key, json);
        json.push(b':');
        ty.write_json(row.get(at), json);
    }
    json.push(b'}');
}

/// Appends a field as PostgreSQL writes those of a record.
///
/// Source: PostgreSQL 15, `record_out` in `src/backend/utils/adt/rowtypes.c`.
fn field(text: &str, out: &mut Vec<u8>) {
    let special = |byte: u8| {
        matches!(
            byte,
            b'"' | b'\\' | b'(' | b')' | b',' | b' ' | b'\t'..=b'\r'
        )
    };
    if !text.is_empty() && !text.bytes().any(special) {
        out.extend_from_slice(text.as_bytes());
        return;
    }
    out.push(b'"');
    for byte in text.bytes() {
        if matches!(byte, b'"' | b'\\') {
            out.push(byte);
        }
        out.push(byte);
    }
    out.push(b'"');
}
