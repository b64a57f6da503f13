// step-load has step-ca issue certificates as fast as it can.
//
//	step-load init FOLDER ADDRESS
//	step-load sign -folder FOLDER -address ADDRESS -csrs FILE -in-flight N -warm-up D -length D -tokens N
//
// init makes a P-256 root, an intermediate and FOLDER/ca.json, by which step-ca listens at ADDRESS and
// keeps what it issued in its embedded database, as `step ca init` sets it up. sign posts the requests
// of FILE (base64, one a line) to it, over and over, each with a one-time token of its own, and
// prints what came of it as JSON. It waits until step-ca listens, and makes all that it sends before
// it starts to count. It ends early when all N tokens are used.
package main

import (
	"bufio"
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/smallstep/certificates/authority/config"
	"github.com/smallstep/certificates/authority/provisioner"
	"github.com/smallstep/certificates/db"
	"go.step.sm/crypto/jose"
	"go.step.sm/crypto/pemutil"
)

const provisionerName = "bench"

func main() {
	var err error
	switch {
	case len(os.Args) == 4 && os.Args[1] == "init":
		err = initialize(os.Args[2], os.Args[3])
	case len(os.Args) > 1 && os.Args[1] == "sign":
		err = sign(os.Args[2:])
	default:
		err = errors.New("usage: step-load init|sign …")
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "step-load:", err)
		os.Exit(1)
	}
}

func initialize(folder, address string) error {
	rootKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	root, err := authority(1, "Bench Root", nil, rootKey.Public(), rootKey)
	if err != nil {
		return err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	intermediate, err := authority(2, "Bench Intermediate", root, key.Public(), rootKey)
	if err != nil {
		return err
	}
	jwk, err := jose.GenerateJWK("EC", "P-256", "ES256", "sig", "", 0)
	if err != nil {
		return err
	}
	jwk.KeyID = provisionerName
	public := jwk.Public()
	settings := config.Config{
		Root:             []string{filepath.Join(folder, "root.crt")},
		IntermediateCert: filepath.Join(folder, "intermediate.crt"),
		IntermediateKey:  filepath.Join(folder, "intermediate.key"),
		Address:          address,
		DNSNames:         []string{"127.0.0.1"},
		DB:               &db.Config{Type: "badgerv2", DataSource: filepath.Join(folder, "db")},
		AuthorityConfig: &config.AuthConfig{Provisioners: provisioner.List{
			&provisioner.JWK{Type: "JWK", Name: provisionerName, Key: &public}}},
		TLS: &config.DefaultTLSOptions,
	}
	for name, value := range map[string]any{"ca.json": settings, "provisioner.json": jwk} {
		text, err := json.Marshal(value)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(folder, name), text, 0o600); err != nil {
			return err
		}
	}
	for name, value := range map[string]any{
		"root.crt": root, "intermediate.crt": intermediate, "intermediate.key": key} {
		path := filepath.Join(folder, name)
		if _, err := pemutil.Serialize(value, pemutil.ToFile(path, 0o600)); err != nil {
			return err
		}
	}
	return nil
}

// authority makes the certificate of one, self-signed when parent is nil.
func authority(serial int64, name string, parent *x509.Certificate, public crypto.PublicKey,
	signer crypto.Signer) (*x509.Certificate, error) {
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(serial),
		Subject:               pkix.Name{CommonName: name},
		NotBefore:             time.Now().Add(-time.Hour),
		NotAfter:              time.Now().AddDate(1, 0, 0),
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
	}
	if parent == nil {
		parent = template
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, public, signer)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}

// request is one certification request, ready to be sent but for its token.
type request struct {
	pem  string
	name string // its only host name
}

func readRequests(path string) ([]request, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var requests []request
	for line := range strings.FieldsSeq(string(text)) {
		der, err := base64.StdEncoding.DecodeString(line)
		if err != nil {
			return nil, err
		}
		csr, err := x509.ParseCertificateRequest(der)
		if err != nil {
			return nil, err
		}
		if len(csr.DNSNames) != 1 {
			return nil, fmt.Errorf("request %d has not one host name", len(requests)+1)
		}
		block := &pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}
		requests = append(requests, request{string(pem.EncodeToMemory(block)), csr.DNSNames[0]})
	}
	if len(requests) == 0 {
		return nil, errors.New("no requests")
	}
	return requests, nil
}

// prepare makes count HTTP requests to sign, each with a token.
func prepare(folder, address string, requests []request, count int) ([][]byte, error) {
	text, err := os.ReadFile(filepath.Join(folder, "provisioner.json"))
	if err != nil {
		return nil, err
	}
	var key jose.JSONWebKey
	if err := json.Unmarshal(text, &key); err != nil {
		return nil, err
	}
	options := new(jose.SignerOptions).WithType("JWT").WithHeader("kid", key.KeyID)
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: key.Key}, options)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	run := rand.Text()
	prepared := make([][]byte, count)
	for i := range prepared {
		csr := requests[i%len(requests)]
		claims := struct {
			jose.Claims
			SANs []string `json:"sans"`
		}{jose.Claims{
			ID:        fmt.Sprintf("%s-%d", run, i),
			Issuer:    provisionerName,
			Subject:   csr.name,
			Audience:  jose.Audience{"https://" + address + "/1.0/sign"},
			NotBefore: jose.NewNumericDate(now),
			IssuedAt:  jose.NewNumericDate(now),
			Expiry:    jose.NewNumericDate(now.Add(time.Hour)),
		}, []string{csr.name}}
		token, err := jose.Signed(signer).Claims(claims).CompactSerialize()
		if err != nil {
			return nil, err
		}
		body, err := json.Marshal(map[string]string{"csr": csr.pem, "ott": token})
		if err != nil {
			return nil, err
		}
		prepared[i] = fmt.Appendf(nil, "POST /1.0/sign HTTP/1.1\r\nHost: %s\r\n"+
			"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", address, len(body), body)
	}
	return prepared, nil
}

func waitFor(address string) error {
	for giveUp := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		conn, err := net.Dial("tcp", address)
		if err == nil {
			return conn.Close()
		}
		if time.Now().After(giveUp) {
			return err
		}
	}
}

// connection is one that is kept alive.
type connection struct {
	tls    *tls.Conn
	reader *bufio.Reader
}

func connect(folder, address string) (*connection, error) {
	root, err := os.ReadFile(filepath.Join(folder, "root.crt"))
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(root)
	conn, err := tls.Dial("tcp", address, &tls.Config{RootCAs: roots, ServerName: "127.0.0.1"})
	if err != nil {
		return nil, err
	}
	return &connection{conn, bufio.NewReaderSize(conn, 16<<10)}, nil
}

// post returns an error unless a certificate was issued.
func (c *connection) post(request []byte) error {
	if _, err := c.tls.Write(request); err != nil {
		return err
	}
	response, err := http.ReadResponse(c.reader, nil)
	if err != nil {
		return err
	}
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	if response.StatusCode != http.StatusCreated || !bytes.Contains(body, []byte("BEGIN CERTIFICATE")) {
		return fmt.Errorf("answered %s: %s", response.Status, body)
	}
	return nil
}

func sign(arguments []string) error {
	flags := flag.NewFlagSet("sign", flag.ExitOnError)
	folder := flags.String("folder", "", "made by init")
	address := flags.String("address", "", "of step-ca")
	csrs := flags.String("csrs", "", "file of requests")
	inFlight := flags.Int("in-flight", 256, "connections, each with one request in flight")
	warmUp := flags.Duration("warm-up", 500*time.Millisecond, "not counted")
	length := flags.Duration("length", 8*time.Second, "counted")
	tokens := flags.Int("tokens", 1000, "requests at the most")
	flags.Parse(arguments)

	requests, err := readRequests(*csrs)
	if err != nil {
		return err
	}
	if err := waitFor(*address); err != nil {
		return err
	}
	// Not before: step-ca refuses tokens that are older than its process.
	prepared, err := prepare(*folder, *address, requests, *tokens)
	if err != nil {
		return err
	}
	connections := make([]*connection, *inFlight)
	for i := range connections {
		if connections[i], err = connect(*folder, *address); err != nil {
			return err
		}
	}

	var next, issued, failed atomic.Int64
	var failure atomic.Value
	latencies := make([][]time.Duration, *inFlight)
	used := func() time.Duration {
		var usage syscall.Rusage
		syscall.Getrusage(syscall.RUSAGE_SELF, &usage)
		return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
	}
	usedBefore := used()
	begin := time.Now().Add(*warmUp)
	end := begin.Add(*length)
	var running sync.WaitGroup
	for i, connection := range connections {
		running.Go(func() {
			for time.Now().Before(end) {
				number := next.Add(1) - 1
				if number >= int64(len(prepared)) {
					return
				}
				sent := time.Now()
				if err := connection.post(prepared[number]); err != nil {
					failed.Add(1)
					failure.CompareAndSwap(nil, err.Error())
					return
				}
				issued.Add(1)
				if done := time.Now(); done.After(begin) && done.Before(end) {
					latencies[i] = append(latencies[i], done.Sub(sent))
				}
			}
		})
	}
	running.Wait()
	cpu := used() - usedBefore
	seconds := min(time.Since(begin), *length).Seconds()

	all := slices.Concat(latencies...)
	slices.Sort(all)
	percentile := func(share float64) float64 {
		if len(all) == 0 {
			return 0
		}
		return all[int(share*float64(len(all)-1))].Seconds() * 1000
	}
	first, _ := failure.Load().(string)
	return json.NewEncoder(os.Stdout).Encode(map[string]any{
		"certificates": len(all), "seconds": seconds, "failures": failed.Load(), "failure": first,
		"p50_ms": percentile(0.50), "p95_ms": percentile(0.95), "p99_ms": percentile(0.99),
		"issued": issued.Load(), "client_cpu_seconds": cpu.Seconds(),
	})
}
