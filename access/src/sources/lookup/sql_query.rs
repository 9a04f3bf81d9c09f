//! A query as an operator writes it. Its placeholders become parameters of a prepared statement, so that what a client says
//! of itself is never read as SQL.

use super::question::values_of;
use crate::authentication::template::{Part, Template};
use crate::sources::error::SetupError;
use ringmq_shards::access::Entry;

/// A query with placeholders.
#[derive(Debug, Clone)]
pub struct SqlQuery {
    template: Template,
}

impl SqlQuery {
    /// Reads a query.
    ///
    /// # Errors
    /// A placeholder that does not exist or stands between quotes, or none.
    pub fn parse(text: &str) -> Result<SqlQuery, SetupError> {
        let template: Template = text.parse().map_err(SetupError::template("query"))?;
        let mut is_quoted = false;
        let mut placeholders = 0;
        for part in template.parts() {
            match part {
                Part::Text(text) => is_quoted ^= text.matches('\'').count() % 2 == 1,
                Part::Placeholder(_) if is_quoted => {
                    let fault =
                        "a placeholder stands between quotes, where it would be text; leave the quotes out";
                    return Err(SetupError::key("query", fault));
                }
                Part::Placeholder(_) => placeholders += 1,
            }
        }
        if placeholders == 0 {
            let fault = "is the same for every client; put ${username} or another placeholder in it";
            return Err(SetupError::key("query", fault));
        }
        Ok(SqlQuery { template })
    }

    /// The statement, `mark` writing what stands for the parameter with a number from 1.
    pub fn statement(&self, mark: fn(usize) -> String) -> String {
        let mut number = 0;
        let parts = self.template.parts().iter().map(|part| match part {
            Part::Text(text) => text.to_string(),
            Part::Placeholder(_) => {
                number += 1;
                mark(number)
            }
        });
        parts.collect()
    }

    /// The parameters for a client; none where it lacks one.
    pub fn values(&self, entry: &Entry) -> Option<Vec<String>> {
        values_of(&self.template, entry).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sources::lookup::tests::entry;

    #[test]
    fn placeholders_are_parameters() {
        let query = SqlQuery::parse(
            "SELECT 'it''s' FROM t WHERE a = ${username} AND b = ${clientid} OR c = ${username}",
        );
        let query = query.unwrap();
        assert_eq!(
            query.statement(|number| format!("${number}")),
            "SELECT 'it''s' FROM t WHERE a = $1 AND b = $2 OR c = $3"
        );
        assert_eq!(query.statement(|_| "?".to_owned()).matches('?').count(), 3);
        let values = query.values(&entry("c", Some("x' OR '1'='1"), None)).unwrap();
        assert_eq!(values, ["x' OR '1'='1", "c", "x' OR '1'='1"]);
        assert!(query.values(&entry("c", None, None)).is_none());
        for text in
            ["SELECT 1", "SELECT 1 FROM t WHERE a = '${username}'", "SELECT ${user}", "SELECT ${username"]
        {
            assert!(SqlQuery::parse(text).unwrap_err().to_string().starts_with("query: "), "{text}");
        }
    }
}
