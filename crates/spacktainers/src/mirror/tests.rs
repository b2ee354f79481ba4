//! One suite that every kind of mirror passes, and the faults that networks have.

mod faults;
mod s3;
mod suite;
mod writers;
