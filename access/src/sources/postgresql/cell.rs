//! Values on their way to and from PostgreSQL: parameters as text, whatever type the statement wants there, and columns of
//! the types that users and rules are kept in.

use bytes::BytesMut;
use serde_json::Value;
use std::error::Error as AnyError;
use std::net::IpAddr;
use tokio_postgres::types::{Format, FromSql, IsNull, Kind, ToSql, Type, to_sql_checked};

/// What the library's traits want an error to be.
type Refusal = Box<dyn AnyError + Sync + Send>;

/// A parameter. The server reads it as it would read a text of the type that is wanted.
#[derive(Clone)]
pub struct Parameter(pub String);

// Never shown, since it may be a password.
impl std::fmt::Debug for Parameter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Parameter")
    }
}

impl ToSql for Parameter {
    fn to_sql(&self, _wanted: &Type, out: &mut BytesMut) -> Result<IsNull, Refusal> {
        out.extend_from_slice(self.0.as_bytes());
        Ok(IsNull::No)
    }

    fn accepts(_wanted: &Type) -> bool {
        true
    }

    fn encode_format(&self, _wanted: &Type) -> Format {
        Format::Text
    }

    to_sql_checked!();
}

/// A column's value.
#[derive(Debug, PartialEq)]
pub struct Cell(pub Value);

impl<'a> FromSql<'a> for Cell {
    fn from_sql(found: &Type, raw: &'a [u8]) -> Result<Cell, Refusal> {
        read(found, raw).map(Cell).ok_or_else(|| format!("type {found}").into())
    }

    fn from_sql_null(_found: &Type) -> Result<Cell, Refusal> {
        Ok(Cell(Value::Null))
    }

    fn accepts(_found: &Type) -> bool {
        true
    }
}

fn read(found: &Type, raw: &[u8]) -> Option<Value> {
    let text = || std::str::from_utf8(raw).ok();
    match found.kind() {
        Kind::Enum(_) => return Some(text()?.into()),
        Kind::Domain(inner) => return read(inner, raw),
        _ => {}
    }
    Some(match *found {
        Type::BOOL => Value::Bool(*raw.first()? != 0),
        Type::INT2 => i16::from_be_bytes(raw.try_into().ok()?).into(),
        Type::INT4 => i32::from_be_bytes(raw.try_into().ok()?).into(),
        Type::INT8 => i64::from_be_bytes(raw.try_into().ok()?).into(),
        // Filled up with spaces to its length.
        Type::BPCHAR => text()?.trim_end_matches(' ').into(),
        Type::TEXT | Type::VARCHAR | Type::NAME | Type::UNKNOWN => text()?.into(),
        Type::JSON => serde_json::from_slice(raw).ok()?,
        Type::JSONB => serde_json::from_slice(raw.strip_prefix(&[1])?).ok()?,
        Type::INET | Type::CIDR => network(raw)?.into(),
        // Types of extensions have no fixed number.
        _ if found.name() == "citext" => text()?.into(),
        _ => return None,
    })
}

/// Family, prefix, kind, length, and the address.
fn network(raw: &[u8]) -> Option<String> {
    let (head, address) = raw.split_at_checked(4)?;
    let address: IpAddr = match address.len() {
        4 => <[u8; 4]>::try_from(address).ok()?.into(),
        16 => <[u8; 16]>::try_from(address).ok()?.into(),
        _ => return None,
    };
    Some(format!("{address}/{}", head[1]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn columns_are_read_by_their_type() {
        let cases: [(Type, &[u8], Value); 8] = [
            (Type::BOOL, &[1], json!(true)),
            (Type::INT2, &[0, 2], json!(2)),
            (Type::INT8, &[0, 0, 0, 0, 0, 0, 1, 0], json!(256)),
            (Type::BPCHAR, b"allow  ", json!("allow")),
            (Type::TEXT, "é".as_bytes(), json!("é")),
            (Type::JSONB, b"\x01[0,1]", json!([0, 1])),
            (Type::INET, &[2, 24, 0, 4, 10, 0, 0, 0], json!("10.0.0.0/24")),
            (Type::CIDR, &[3, 128, 1, 16, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1], json!("::1/128")),
        ];
        for (found, raw, expected) in cases {
            assert_eq!(read(&found, raw), Some(expected), "{found}");
        }
        for (found, raw) in
            [(Type::INT4, &b"abc"[..]), (Type::BOOL, b""), (Type::INET, b"ab"), (Type::POINT, b"")]
        {
            assert_eq!(read(&found, raw), None, "{found}");
        }
    }
}
