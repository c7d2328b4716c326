// Package archtest keeps the architecture: which package may import which,
// with the reason beside each rule, and a few habits of the repository. It
// holds tests only. The picture is drawn in docs/architecture.md.
package archtest
