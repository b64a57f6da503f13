// witness-check drives a witness by the conformance suite of C2SP tlog-witness that the project
// publishes (services/witness/testdata/tlog_witness.json), which is read here by other code than the
// one that wrote it.
//
//	witness-check keys NAME                     prints test keys: private, log's, witness's
//	witness-check scenarios SUITE               prints how many scenarios there are
//	witness-check logs SUITE N                  prints scenario N's logs, "VKEY ORIGIN" a line; of its keys the first
//	witness-check run SUITE N URL WITNESS-VKEY  runs scenario N on a witness that has cosigned nothing
//
// run prints each answer that is not the specification's, one a line, and exits with 0 all the same:
// who calls it says which of them are known. It ends a scenario where the witness cosigned what it
// must not, or did not what it must, because the steps behind assume otherwise.
package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"time"

	"countersign/tests/conformance/c2sp"
	"golang.org/x/mod/sumdb/note"
)

type suite struct {
	Scenarios []scenario
}

type scenario struct {
	Name string
	Logs []struct {
		Origin string
		Vkeys  []string
	}
	Steps []step
}

type step struct {
	Shows   string
	Request struct {
		Method, Path, Body string
		BodyBase64         string `json:"body_base64"`
	}
	Answer struct {
		Status      int
		ContentType string `json:"content_type"`
		Body        string
		Cosigns     string
		Checkpoint  string
		SignedBy    []string `json:"signed_by"`
	}
}

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "witness-check:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) == 2 && args[0] == "keys" {
		keys := c2sp.DeriveKeys(args[1])
		fmt.Println(keys.Private)
		fmt.Println(keys.Log)
		fmt.Println(keys.Witness)
		return nil
	}
	if len(args) < 2 {
		return errors.New("say keys, scenarios, logs or run")
	}
	text, err := os.ReadFile(args[1])
	if err != nil {
		return err
	}
	var all suite
	if err := json.Unmarshal(text, &all); err != nil {
		return fmt.Errorf("%s: %w", args[1], err)
	}
	if args[0] == "scenarios" {
		fmt.Println(len(all.Scenarios))
		return nil
	}
	if len(args) < 3 {
		return errors.New("say which scenario")
	}
	number, err := strconv.Atoi(args[2])
	if err != nil || number < 0 || number >= len(all.Scenarios) {
		return fmt.Errorf("no scenario %q", args[2])
	}
	chosen := all.Scenarios[number]
	switch {
	case args[0] == "logs":
		for _, log := range chosen.Logs {
			fmt.Println(log.Vkeys[0], log.Origin)
		}
		return nil
	case args[0] == "run" && len(args) == 5:
		witness, err := c2sp.NewCosigner(args[4])
		if err != nil {
			return err
		}
		return chosen.run(args[3], witness)
	}
	return fmt.Errorf("%q is not a command, or its arguments are wrong", args[0])
}

func (s *scenario) run(url string, witness note.Verifier) error {
	client := &http.Client{Timeout: 20 * time.Second}
	for _, step := range s.Steps {
		body := []byte(step.Request.Body)
		if step.Request.BodyBase64 != "" {
			var err error
			if body, err = base64.StdEncoding.DecodeString(step.Request.BodyBase64); err != nil {
				return err
			}
		}
		request, err := http.NewRequest(step.Request.Method, url+step.Request.Path, bytes.NewReader(body))
		if err != nil {
			return err
		}
		response, err := client.Do(request)
		if err != nil {
			return err
		}
		content, err := io.ReadAll(response.Body)
		response.Body.Close()
		if err != nil {
			return err
		}
		if wrong := step.judge(response, content, witness); wrong != "" {
			fmt.Printf("%s: %s: %s\n", s.Name, step.Shows, wrong)
			cosigned := response.StatusCode == http.StatusOK
			if step.Request.Method == "POST" && cosigned != (step.Answer.Status == http.StatusOK) {
				return nil
			}
		}
	}
	return nil
}

// judge says what is wrong with an answer; nothing if it is the specification's.
func (s *step) judge(response *http.Response, content []byte, witness note.Verifier) string {
	if response.StatusCode != s.Answer.Status {
		return fmt.Sprintf("%d instead of %d", response.StatusCode, s.Answer.Status)
	}
	kind := response.Header.Get("Content-Type")
	switch {
	case s.Answer.ContentType != "" && kind != s.Answer.ContentType:
		return fmt.Sprintf("a %q instead of a %q", kind, s.Answer.ContentType)
	case s.Answer.Body != "" && string(content) != s.Answer.Body:
		return fmt.Sprintf("body %q instead of %q", content, s.Answer.Body)
	case s.Answer.Cosigns != "":
		return judgeCosignature(s.Answer.Cosigns, content, witness)
	case s.Answer.Checkpoint != "":
		return judgeCheckpoint(s.Answer.Checkpoint, s.Answer.SignedBy, content, witness)
	}
	return ""
}

func judgeCosignature(text string, lines []byte, witness note.Verifier) string {
	opened, err := note.Open(append([]byte(text+"\n"), lines...), note.VerifierList(witness))
	if err != nil {
		return fmt.Sprintf("%q: %v", lines, err)
	}
	at, err := c2sp.Time(opened.Sigs[0])
	if err != nil {
		return err.Error()
	}
	const seconds = 60
	if age := time.Now().Unix() - at; age < -seconds || age > seconds {
		return fmt.Sprintf("the cosignature is of %d seconds ago", age)
	}
	return ""
}

func judgeCheckpoint(text string, vkeys []string, signed []byte, witness note.Verifier) string {
	verifiers := []note.Verifier{witness}
	for _, vkey := range vkeys {
		verifier, err := note.NewVerifier(vkey)
		if err != nil {
			return err.Error()
		}
		verifiers = append(verifiers, verifier)
	}
	opened, err := note.Open(signed, note.VerifierList(verifiers...))
	switch {
	case err != nil:
		return err.Error()
	case opened.Text != text:
		return fmt.Sprintf("checkpoint %q instead of %q", opened.Text, text)
	case len(opened.Sigs) != len(verifiers) || len(opened.UnverifiedSigs) != 0:
		return fmt.Sprintf("%d signatures that count and %d others, instead of %d", len(opened.Sigs),
			len(opened.UnverifiedSigs), len(verifiers))
	}
	return ""
}
