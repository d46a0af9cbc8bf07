# SPDX-License-Identifier: Apache-2.0
# Signs a file with RSA, 2048 bits, once a unit, each in a process of its own. The padding is
# PKCS #1 1.5: the signature depends on nothing but the key and the file.
set -e
case $1 in
prepare) head -c 10000 /bench/inputs/text > text ;;
work)
	i=0
	while [ $i -lt "$2" ]; do
		openssl dgst -sha256 -sign /bench/inputs/key.pem -out signature text
		i=$((i + 1))
	done
	;;
check) cat signature ;;
esac
