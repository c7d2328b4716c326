// Command guidehost prepares a folder in which a server passes for the host of
// the guide's examples: a certificate authority and a certificate for
// api.conduit.ai, and a data folder whose database knows keys of the texts
// that the examples have. It is for the tests alone: no part of the product
// accepts a key that it did not make itself.
//
//	go run ./e2e/guidehost FOLDER KEY...
//
// writes FOLDER/ca.pem, cert.pem, key.pem and FOLDER/data, and prints the
// SHA-256 of the certificate's public key in base64, as Chromium takes it.
package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"time"

	"github.com/knnlabs/conduit/internal/key"
	"github.com/knnlabs/conduit/internal/store"
)

func main() {
	if len(os.Args) < 2 {
		fail(errors.New("usage: guidehost FOLDER KEY"))
	}
	fingerprint, err := makeCertificates(os.Args[1], "api.conduit.ai")
	if err == nil {
		err = storeKeys(context.Background(), filepath.Join(os.Args[1], "data"), os.Args[2:])
	}
	if err != nil {
		fail(err)
	}
	fmt.Println(fingerprint)
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "guidehost:", err)
	os.Exit(1)
}

// makeCertificates writes an authority and a certificate of it for host.
func makeCertificates(folder, host string) (fingerprint string, err error) {
	authority := certificate("Conduit test authority")
	authority.IsCA, authority.BasicConstraintsValid = true, true
	authority.KeyUsage = x509.KeyUsageCertSign
	authorityKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return "", err
	}
	authorityDER, err := x509.CreateCertificate(rand.Reader, authority, authority, authorityKey.Public(), authorityKey)
	if err != nil {
		return "", err
	}
	leaf := certificate(host)
	leaf.DNSNames = []string{host}
	leaf.KeyUsage = x509.KeyUsageDigitalSignature
	leaf.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	leafKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return "", err
	}
	leafDER, err := x509.CreateCertificate(rand.Reader, leaf, authority, leafKey.Public(), authorityKey)
	if err != nil {
		return "", err
	}
	private, err := x509.MarshalPKCS8PrivateKey(leafKey)
	if err != nil {
		return "", err
	}
	for _, f := range []struct {
		name  string
		block pem.Block
	}{
		{"ca.pem", pem.Block{Type: "CERTIFICATE", Bytes: authorityDER}},
		{"cert.pem", pem.Block{Type: "CERTIFICATE", Bytes: leafDER}},
		{"key.pem", pem.Block{Type: "PRIVATE KEY", Bytes: private}},
	} {
		if err := os.WriteFile(filepath.Join(folder, f.name), pem.EncodeToMemory(&f.block), 0o600); err != nil {
			return "", err
		}
	}
	public, err := x509.MarshalPKIXPublicKey(leafKey.Public())
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(public)
	return base64.StdEncoding.EncodeToString(sum[:]), nil
}

func certificate(name string) *x509.Certificate {
	now := time.Now()
	return &x509.Certificate{
		SerialNumber: big.NewInt(now.UnixNano()),
		Subject:      pkix.Name{CommonName: name},
		NotBefore:    now.Add(-time.Hour),
		NotAfter:     now.Add(24 * time.Hour),
	}
}

// storeKeys makes keys whose texts are known before.
func storeKeys(ctx context.Context, folder string, texts []string) (err error) {
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return err
	}
	s, err := store.Open(ctx, store.Options{Path: filepath.Join(folder, "conduit.db"), Readers: 1})
	if err != nil {
		return err
	}
	defer func() {
		if closeErr := s.Close(); err == nil {
			err = closeErr
		}
	}()
	for _, text := range texts {
		k, _, err := key.New(key.Options{Name: text, Scopes: key.DefaultScopes()})
		if err != nil {
			return err
		}
		k.Hash, k.Display = key.HashOf(text), text
		if err := s.CreateKey(ctx, k); err != nil {
			return err
		}
	}
	return nil
}
