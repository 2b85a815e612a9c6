//! Every bound of the program on one page.
