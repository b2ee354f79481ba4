//! Reading.
mod error;
pub use error::ReadError;
