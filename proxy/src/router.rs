//! Compiled rules in precedence order.
