//! Services: servers, weights, balancing.
