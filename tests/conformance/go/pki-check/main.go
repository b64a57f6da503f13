// pki-check judges what an authority of Countersign has made by Go's crypto/x509 and golang.org/x/crypto/ocsp.
//
//	pki-check chain -root FILE [-chain FILE] -usage USAGE [-host NAME] CERTIFICATE
//	    the certificate leads to the root, for the usage (server, client, code, ocsp, any) and the host
//	pki-check crl -issuer FILE [-revoked SERIAL=REASON]… [-absent SERIAL]… [-shard] [-above NUMBER] CRL
//	    the CRL is the issuer's, of now, and lists these and not those; prints its number
//	pki-check ocsp -issuer FILE -url URL -expect STATUS [-reason N] [-get] [-hash sha1|sha256] CERTIFICATE
//	    the responder says STATUS (good, revoked, unauthorized) over HTTP, as RFC 9919 wants it said
//	pki-check response -issuer FILE -expect STATUS [-reason N] -response FILE CERTIFICATE
//	    the same of a response in a file
//
// Files are PEM or DER. It ends with 1 and says why when something is not so.
package main

import (
	"bytes"
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/crypto/ocsp"
)

var (
	oidOCSPNoCheck = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 48, 1, 5}
	oidIDP         = asn1.ObjectIdentifier{2, 5, 29, 28}
)

type list []string

func (l *list) String() string { return strings.Join(*l, ",") }
func (l *list) Set(value string) error {
	*l = append(*l, value)
	return nil
}

func main() {
	commands := map[string]func([]string) error{
		"chain": chain, "crl": crl, "ocsp": ask, "response": response,
	}
	if len(os.Args) < 2 || commands[os.Args[1]] == nil {
		fmt.Fprintln(os.Stderr, "usage: pki-check chain|crl|ocsp|response …")
		os.Exit(2)
	}
	if err := commands[os.Args[1]](os.Args[2:]); err != nil {
		fmt.Fprintf(os.Stderr, "pki-check %s: %v\n", os.Args[1], err)
		os.Exit(1)
	}
}

// blocks reads the DER of every PEM block in a file, or the file itself.
func blocks(path string) ([][]byte, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var all [][]byte
	for rest := data; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		all = append(all, block.Bytes)
	}
	if all == nil {
		all = [][]byte{data}
	}
	return all, nil
}

func certificates(path string) ([]*x509.Certificate, error) {
	all, err := blocks(path)
	if err != nil {
		return nil, err
	}
	var certificates []*x509.Certificate
	for _, der := range all {
		certificate, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		certificates = append(certificates, certificate)
	}
	return certificates, nil
}

func certificate(path string) (*x509.Certificate, error) {
	all, err := certificates(path)
	if err != nil {
		return nil, err
	}
	return all[0], nil
}

func chain(args []string) error {
	flags := flag.NewFlagSet("chain", flag.ExitOnError)
	rootFile := flags.String("root", "", "")
	chainFile := flags.String("chain", "", "")
	usage := flags.String("usage", "any", "")
	host := flags.String("host", "", "")
	flags.Parse(args)
	usages := map[string]x509.ExtKeyUsage{
		"server": x509.ExtKeyUsageServerAuth, "client": x509.ExtKeyUsageClientAuth,
		"code": x509.ExtKeyUsageCodeSigning, "ocsp": x509.ExtKeyUsageOCSPSigning,
		"any": x509.ExtKeyUsageAny,
	}
	wanted, known := usages[*usage]
	if !known {
		return fmt.Errorf("no usage %q", *usage)
	}
	leaf, err := certificate(flags.Arg(0))
	if err != nil {
		return err
	}
	root, err := certificate(*rootFile)
	if err != nil {
		return err
	}
	options := x509.VerifyOptions{
		DNSName: *host, Roots: x509.NewCertPool(), Intermediates: x509.NewCertPool(),
		KeyUsages: []x509.ExtKeyUsage{wanted},
	}
	options.Roots.AddCert(root)
	if *chainFile != "" {
		others, err := certificates(*chainFile)
		if err != nil {
			return err
		}
		for _, other := range others {
			options.Intermediates.AddCert(other)
		}
	}
	if _, err := leaf.Verify(options); err != nil {
		return err
	}
	if len(leaf.UnhandledCriticalExtensions) > 0 {
		return errors.New("it has critical extensions that nobody knows")
	}
	// What Verify does not look at: serial numbers of RFC 5280 section 4.1.2.2 that cannot be guessed.
	if leaf.SerialNumber.Sign() <= 0 || leaf.SerialNumber.BitLen() > 159 || leaf.SerialNumber.BitLen() < 64 {
		return fmt.Errorf("serial number of %d bits", leaf.SerialNumber.BitLen())
	}
	return nil
}

func serial(text string) (*big.Int, error) {
	number, ok := new(big.Int).SetString(text, 16)
	if !ok {
		return nil, fmt.Errorf("no serial number: %q", text)
	}
	return number, nil
}

func crl(args []string) error {
	flags := flag.NewFlagSet("crl", flag.ExitOnError)
	issuerFile := flags.String("issuer", "", "")
	shard := flags.Bool("shard", false, "")
	above := flags.String("above", "", "")
	var revoked, absent list
	flags.Var(&revoked, "revoked", "")
	flags.Var(&absent, "absent", "")
	flags.Parse(args)
	issuer, err := certificate(*issuerFile)
	if err != nil {
		return err
	}
	der, err := blocks(flags.Arg(0))
	if err != nil {
		return err
	}
	list, err := x509.ParseRevocationList(der[0])
	if err != nil {
		return err
	}
	if err := list.CheckSignatureFrom(issuer); err != nil {
		return err
	}
	now := time.Now()
	if list.ThisUpdate.After(now) || !list.NextUpdate.After(now) {
		return fmt.Errorf("it is of %v until %v", list.ThisUpdate, list.NextUpdate)
	}
	if !bytes.Equal(list.AuthorityKeyId, issuer.SubjectKeyId) {
		return errors.New("its authority key identifier is another's")
	}
	if list.Number == nil {
		return errors.New("it has no number")
	}
	if *above != "" {
		before, ok := new(big.Int).SetString(*above, 10)
		if !ok || list.Number.Cmp(before) <= 0 {
			return fmt.Errorf("its number %v is not above %s", list.Number, *above)
		}
	}
	idp := slices.ContainsFunc(list.Extensions, func(e pkix.Extension) bool {
		return e.Id.Equal(oidIDP) && e.Critical
	})
	if idp != *shard {
		return fmt.Errorf("has a critical issuing distribution point: %v", idp)
	}
	find := func(text string) (*x509.RevocationListEntry, error) {
		number, err := serial(text)
		if err != nil {
			return nil, err
		}
		for i := range list.RevokedCertificateEntries {
			if list.RevokedCertificateEntries[i].SerialNumber.Cmp(number) == 0 {
				return &list.RevokedCertificateEntries[i], nil
			}
		}
		return nil, nil
	}
	for _, wanted := range revoked {
		text, reason, _ := strings.Cut(wanted, "=")
		entry, err := find(text)
		if err != nil {
			return err
		}
		if entry == nil {
			return fmt.Errorf("%s is not on it", text)
		}
		if strconv.Itoa(entry.ReasonCode) != reason {
			return fmt.Errorf("%s has reason %d, not %s", text, entry.ReasonCode, reason)
		}
	}
	for _, text := range absent {
		if entry, err := find(text); err != nil || entry != nil {
			return fmt.Errorf("%s is on it (%v)", text, err)
		}
	}
	fmt.Println(list.Number)
	return nil
}

type expectation struct {
	issuerFile, status string
	reason             int
}

func (e *expectation) flags(flags *flag.FlagSet) {
	flags.StringVar(&e.issuerFile, "issuer", "", "")
	flags.StringVar(&e.status, "expect", "good", "")
	flags.IntVar(&e.reason, "reason", 0, "")
}

// check reads a response as a client must, and compares it with what is expected. It returns nil for one that
// bears no answer.
func (e *expectation) check(der []byte, leaf, issuer *x509.Certificate) (*ocsp.Response, error) {
	response, err := ocsp.ParseResponseForCert(der, leaf, issuer)
	var refused ocsp.ResponseError
	if errors.As(err, &refused) {
		if e.status == "unauthorized" && refused.Status == ocsp.Unauthorized {
			return nil, nil
		}
		return nil, fmt.Errorf("the answer is %v", refused.Status)
	}
	if err != nil {
		return nil, err
	}
	if e.status == "unauthorized" {
		return nil, errors.New("there is an answer")
	}
	statuses := map[string]int{"good": ocsp.Good, "revoked": ocsp.Revoked, "unknown": ocsp.Unknown}
	if wanted, known := statuses[e.status]; !known || response.Status != wanted {
		return nil, fmt.Errorf("the status is %d, not %s", response.Status, e.status)
	}
	if response.RevocationReason != e.reason {
		return nil, fmt.Errorf("the reason is %d, not %d", response.RevocationReason, e.reason)
	}
	now := time.Now()
	if response.ThisUpdate.After(now) || response.ProducedAt.After(now) ||
		response.ThisUpdate.After(response.ProducedAt) || !response.NextUpdate.After(now) {
		return nil, fmt.Errorf("produced at %v, this update %v, next update %v",
			response.ProducedAt, response.ThisUpdate, response.NextUpdate)
	}
	if response.Status == ocsp.Revoked && response.RevokedAt.After(now) {
		return nil, fmt.Errorf("revoked at %v", response.RevokedAt)
	}
	if delegate := response.Certificate; delegate != nil {
		// x/crypto/ocsp looks at the signature alone.
		if !slices.Contains(delegate.ExtKeyUsage, x509.ExtKeyUsageOCSPSigning) {
			return nil, errors.New("the delegate is no OCSP signer")
		}
		if !slices.ContainsFunc(delegate.Extensions, func(e pkix.Extension) bool {
			return e.Id.Equal(oidOCSPNoCheck)
		}) {
			return nil, errors.New("the delegate has no id-pkix-ocsp-nocheck")
		}
		if delegate.NotAfter.Before(response.NextUpdate) {
			return nil, errors.New("the delegate expires before the response")
		}
	}
	return response, nil
}

func response(args []string) error {
	flags := flag.NewFlagSet("response", flag.ExitOnError)
	var expected expectation
	expected.flags(flags)
	file := flags.String("response", "", "")
	flags.Parse(args)
	leaf, err := certificate(flags.Arg(0))
	if err != nil {
		return err
	}
	issuer, err := certificate(expected.issuerFile)
	if err != nil {
		return err
	}
	der, err := os.ReadFile(*file)
	if err != nil {
		return err
	}
	_, err = expected.check(der, leaf, issuer)
	return err
}

func ask(args []string) error {
	flags := flag.NewFlagSet("ocsp", flag.ExitOnError)
	var expected expectation
	expected.flags(flags)
	responder := flags.String("url", "", "")
	get := flags.Bool("get", false, "")
	hash := flags.String("hash", "sha1", "")
	flags.Parse(args)
	leaf, err := certificate(flags.Arg(0))
	if err != nil {
		return err
	}
	issuer, err := certificate(expected.issuerFile)
	if err != nil {
		return err
	}
	options := ocsp.RequestOptions{Hash: crypto.SHA1}
	if *hash == "sha256" {
		options.Hash = crypto.SHA256
	}
	request, err := ocsp.CreateRequest(leaf, issuer, &options)
	if err != nil {
		return err
	}
	call, err := http.NewRequest("POST", *responder, bytes.NewReader(request))
	if *get {
		target := strings.TrimSuffix(*responder, "/") + "/" +
			url.QueryEscape(base64.StdEncoding.EncodeToString(request))
		call, err = http.NewRequest("GET", target, nil)
	}
	if err != nil {
		return err
	}
	call.Header.Set("Content-Type", "application/ocsp-request")
	answer, body, err := send(call)
	if err != nil {
		return err
	}
	if answer.StatusCode != 200 || answer.Header.Get("Content-Type") != "application/ocsp-response" {
		return fmt.Errorf("HTTP %s, %s", answer.Status, answer.Header.Get("Content-Type"))
	}
	response, err := expected.check(body, leaf, issuer)
	if err != nil || response == nil {
		return err
	}
	if response.IssuerHash != options.Hash {
		return fmt.Errorf("it is about a CertID of %v", response.IssuerHash)
	}
	return checkCaching(call, answer, body, response)
}

func send(call *http.Request) (*http.Response, []byte, error) {
	client := http.Client{Timeout: time.Minute}
	answer, err := client.Do(call)
	if err != nil {
		return nil, nil, err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	return answer, body, err
}

// checkCaching looks at what RFC 9919 section 7.2 asks of the HTTP fields, and asks again as a cache does.
func checkCaching(call *http.Request, answer *http.Response, body []byte, response *ocsp.Response) error {
	header := answer.Header
	control := strings.Split(strings.ReplaceAll(header.Get("Cache-Control"), " ", ""), ",")
	for _, wanted := range []string{"public", "no-transform", "must-revalidate"} {
		if !slices.Contains(control, wanted) {
			return fmt.Errorf("Cache-Control %v lacks %s", control, wanted)
		}
	}
	found := false
	for _, directive := range control {
		if text, is := strings.CutPrefix(directive, "max-age="); is {
			age, err := strconv.Atoi(text)
			if err != nil || age < 0 || time.Now().Add(time.Duration(age)*time.Second).After(response.NextUpdate) {
				return fmt.Errorf("max-age %s for a response until %v", text, response.NextUpdate)
			}
			found = true
		}
	}
	if !found {
		return fmt.Errorf("Cache-Control %v lacks max-age", control)
	}
	for name, wanted := range map[string]time.Time{
		"Last-Modified": response.ThisUpdate, "Expires": response.NextUpdate,
	} {
		is, err := http.ParseTime(header.Get(name))
		if err != nil || !strings.HasSuffix(header.Get(name), "GMT") {
			return fmt.Errorf("%s: %q", name, header.Get(name))
		}
		if name == "Last-Modified" && !is.Equal(wanted) || is.After(wanted) {
			return fmt.Errorf("%s is %v for %v", name, is, wanted)
		}
	}
	digest := sha256.Sum256(body)
	if etag := header.Get("ETag"); !strings.EqualFold(etag, `"`+hex.EncodeToString(digest[:])+`"`) {
		return fmt.Errorf("ETag %s of a response of digest %x", etag, digest)
	}
	if call.Method != "GET" {
		return nil
	}
	again := call.Clone(call.Context())
	again.Header.Set("If-None-Match", header.Get("ETag"))
	unchanged, rest, err := send(again)
	if err != nil {
		return err
	}
	if unchanged.StatusCode != 304 || len(rest) != 0 {
		return fmt.Errorf("asked again by its ETag it answers %s with %d bytes", unchanged.Status, len(rest))
	}
	return nil
}
