//! Text to problems or an immutable snapshot.
