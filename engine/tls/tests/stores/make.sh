#!/usr/bin/env bash
# make.sh: makes the stores in this directory anew, with the JDK's keytool and openssl. They are kept in the
# repository so that tests need neither; all are valid from 2020 for a century, but for the one that has expired. The
# passwords are those of the tests: store-secret for stores, key-secret for keys with one of their own.
set -euo pipefail
cd "$(dirname "$0")"
rm -f ./*.jks ./*.p12 ./*.pem
forever="-startdate 2020/01/01 -validity 36500"
store() { keytool -J-Duser.language=en "$@" -storepass store-secret 2> /dev/null; }
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT

# A CA, and a server's certificate signed by it.
store -genkeypair -keystore "$work/ca.p12" -alias ca -keyalg EC -groupname secp256r1 $forever \
  -dname CN=Millrace-Test-CA -ext bc:c=ca:true -ext ku:c=keyCertSign
store -exportcert -rfc -keystore "$work/ca.p12" -alias ca > ca.pem
# sign KEYSTORE ALIAS NAMES [keytool option ...]: gives the key a certificate of the CA, for these host names.
sign() {
  local keystore=$1 alias=$2 names=$3; shift 3
  store -certreq -keystore "$keystore" -alias "$alias" "$@" \
    | store -gencert -rfc -keystore "$work/ca.p12" -alias ca $days -ext "san=$names" > "$work/signed.pem"
  store -importcert -noprompt -keystore "$keystore" -alias ca -file ca.pem
  store -importcert -noprompt -keystore "$keystore" -alias "$alias" -file "$work/signed.pem" "$@"
}
days=$forever here=dns:localhost,ip:127.0.0.1
key=(-keyalg EC -groupname secp256r1 $forever -dname CN=localhost)

# As keytool does it without options: PKCS #12, PBES2 with AES-256.
store -genkeypair -keystore server.p12 -alias server "${key[@]}"
sign server.p12 server $here
# As it did before Java 16: triple DES and RC2 with 40 bits.
store -J-Dkeystore.pkcs12.legacy -genkeypair -keystore legacy.p12 -alias server -keyalg RSA -keysize 2048 \
  $forever -dname CN=localhost
# JKS, with a password of the key's own.
store -genkeypair -storetype JKS -keystore server.jks -alias server -keypass key-secret "${key[@]}"
sign server.jks server $here -keypass key-secret
# Several keys and certificates.
store -genkeypair -storetype JKS -keystore several.jks -alias zebra -keyalg RSA -keysize 2048 $forever \
  -dname CN=zebra
store -genkeypair -storetype JKS -keystore several.jks -alias ape "${key[@]}"
store -importcert -noprompt -keystore several.jks -alias ca -file ca.pem
# Certificates only.
store -importcert -noprompt -storetype JKS -keystore trust.jks -alias ca -file ca.pem
store -importcert -noprompt -keystore trust.p12 -alias ca -file ca.pem
# Without a password, as the JDK's own cacerts has been since Java 18.
store -J-Dkeystore.pkcs12.certProtectionAlgorithm=NONE -J-Dkeystore.pkcs12.macAlgorithm=NONE -importcert -noprompt \
  -keystore open.p12 -alias ca -file ca.pem
openssl pkcs12 -export -nokeys -in ca.pem -passout pass:store-secret -out unmarked.p12
# For another host, expired a day after it was made, and of a stranger.
store -genkeypair -keystore elsewhere.p12 -alias server -keyalg EC -groupname secp256r1 $forever -dname CN=elsewhere
sign elsewhere.p12 server dns:elsewhere.example
store -genkeypair -keystore expired.p12 -alias server -keyalg EC -groupname secp256r1 $forever -dname CN=expired
days="-startdate 2020/01/01 -validity 1"
sign expired.p12 server $here
store -exportcert -rfc -keystore legacy.p12 -alias server > stranger.pem

# The same key as PEM: plain, encrypted, with its chain, and in PKCS #12 as openssl writes it.
openssl pkcs12 -in server.p12 -passin pass:store-secret -nocerts -noenc | openssl pkcs8 -topk8 -nocrypt > key.pem
openssl pkcs8 -topk8 -in key.pem -passout pass:key-secret > encrypted-key.pem
openssl pkcs8 -topk8 -v2 des3 -v2prf hmacWithSHA1 -in key.pem -passout pass:key-secret > des3-key.pem
openssl ec -in key.pem -out sec1-key.pem 2> /dev/null
store -exportcert -rfc -keystore server.p12 -alias server > chain.pem
cat ca.pem >> chain.pem
cat encrypted-key.pem chain.pem > identity.pem
openssl pkcs12 -export -inkey key.pem -in chain.pem -passout pass:store-secret -out openssl.p12
openssl pkcs12 -export -legacy -inkey key.pem -in chain.pem -passout pass:store-secret -out openssl-legacy.p12
