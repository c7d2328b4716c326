package server

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/knnlabs/conduit/internal/config"
	"github.com/knnlabs/conduit/signalr"
)

// makeCertificate writes a certificate for this machine, and returns whom to
// trust for it.
func makeCertificate(t *testing.T, folder string, serial int64) (config.HTTPS, *x509.CertPool) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	template := &x509.Certificate{SerialNumber: big.NewInt(serial), NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	keyBytes, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	files := config.HTTPS{Certificate: filepath.Join(folder, "cert.pem"), Key: filepath.Join(folder, "key.pem")}
	for name, block := range map[string]*pem.Block{files.Certificate: {Type: "CERTIFICATE", Bytes: der}, files.Key: {Type: "PRIVATE KEY", Bytes: keyBytes}} {
		if err := os.WriteFile(name, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	made, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(made)
	return files, pool
}

// Over HTTPS, with HTTP/1.1 and HTTP/2, on every transport.
func TestHTTPS(t *testing.T) {
	files, trusted := makeCertificate(t, t.TempDir(), 1)
	c := settings(t, t.TempDir(), `{}`)
	c.URLs, c.HTTPS = "https://127.0.0.1:0;http://127.0.0.1:0", files
	r := serve(t, c)
	if !strings.HasPrefix(r.URL(), "https://127.0.0.1:") || !strings.Contains(r.out.String(), r.URL()) {
		t.Errorf("it is at %s", r.URL())
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: trusted}, ForceAttemptHTTP2: true}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport}
	for url, proto := range map[string]string{r.URL(): "HTTP/2.0", localURL(r.listeners[1].Addr()): "HTTP/1.1"} {
		req, err := http.NewRequestWithContext(t.Context(), "GET", url+"/health", nil)
		if err != nil {
			t.Fatal(err)
		}
		res, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		if res.StatusCode != 200 || res.Proto != proto {
			t.Errorf("%s: %d over %s", url, res.StatusCode, res.Proto)
		}
	}
	for _, kind := range []signalr.Transport{signalr.WebSockets, signalr.ServerSentEvents, signalr.LongPolling} {
		http1 := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: trusted}}
		use := client
		if kind == signalr.WebSockets {
			use = &http.Client{Transport: http1}
		}
		hub := signalr.NewClient(r.URL()+"/hubs/video-generation?access_token="+r.key(), signalr.ClientOptions{Transports: []signalr.Transport{kind}, HTTPClient: use})
		if err := hub.Start(t.Context()); err != nil {
			t.Fatalf("%s: %v", kind, err)
		}
		if err := hub.Invoke(t.Context(), "SubscribeToTask", nil, "nonsense"); err == nil || !strings.Contains(err.Error(), "no such task") {
			t.Errorf("%s: %v", kind, err)
		}
		if err := hub.Stop(t.Context()); err != nil {
			t.Errorf("%s: %v", kind, err)
		}
		http1.CloseIdleConnections()
	}
}

func TestCertificateIsReadAgain(t *testing.T) {
	folder := t.TempDir()
	files, _ := makeCertificate(t, folder, 1)
	synctest.Test(t, func(t *testing.T) {
		c, err := loadCertificate(files, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		want := func(serial int64) {
			t.Helper()
			got, err := c.get(nil)
			if err != nil {
				t.Fatal(err)
			}
			made, err := x509.ParseCertificate(got.Certificate[0])
			if err != nil || made.SerialNumber.Int64() != serial {
				t.Errorf("serial %v, want %d (%v)", made.SerialNumber, serial, err)
			}
		}
		touched := 0
		change := func(write func()) {
			t.Helper()
			write()
			touched++
			at := time.Date(2030, 1, touched, 0, 0, 0, 0, time.UTC) // whatever the file system's clock tells apart
			for _, name := range []string{files.Certificate, files.Key} {
				if err := os.Chtimes(name, at, at); err != nil {
					t.Fatal(err)
				}
			}
		}
		want(1)
		change(func() { makeCertificate(t, folder, 2) })
		want(1) // not looked at yet
		time.Sleep(certificateEvery)
		want(2)
		change(func() {
			if err := os.WriteFile(files.Key, []byte("half"), 0o600); err != nil {
				t.Fatal(err)
			}
		})
		time.Sleep(certificateEvery)
		want(2)
		change(func() { makeCertificate(t, folder, 3) })
		time.Sleep(certificateEvery)
		want(3)
	})
	if _, err := loadCertificate(config.HTTPS{Certificate: "nowhere", Key: "nowhere"}, slog.Default()); err == nil || !strings.Contains(err.Error(), "Https:Certificate") {
		t.Errorf("%v", err)
	}
}
