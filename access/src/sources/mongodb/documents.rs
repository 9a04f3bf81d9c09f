//! Documents as rows.

use crate::sources::lookup::Row;
use mongodb::bson::{Bson, Document};
use serde_json::Value;

/// The row of a document. Values that no user and no rule has are null.
pub fn row_of(document: Document) -> Row {
    document.into_iter().map(|(name, value)| (name, value_of(value))).collect()
}

fn value_of(value: Bson) -> Value {
    match value {
        Bson::String(text) => text.into(),
        Bson::Boolean(flag) => flag.into(),
        Bson::Int32(number) => number.into(),
        Bson::Int64(number) => number.into(),
        // What shells write for whole numbers.
        Bson::Double(number) if number.fract() == 0.0 && number.abs() < 1e9 => (number as i64).into(),
        Bson::Array(values) => values.into_iter().map(value_of).collect(),
        Bson::Document(document) => Value::Object(row_of(document)),
        _ => Value::Null,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mongodb::bson::doc;
    use serde_json::json;

    #[test]
    fn documents_are_rows() {
        let document = doc! {
            "permission": "allow", "qos": [0, 1_i64, 2.0], "retain": true, "half": 0.5, "none": Bson::Null,
        };
        let expected = json!({
            "permission": "allow", "qos": [0, 1, 2], "retain": true, "half": null, "none": null,
        });
        assert_eq!(Value::Object(row_of(document)), expected);
    }
}
