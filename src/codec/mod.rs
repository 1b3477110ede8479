//! Byte formats that more than one module speaks.
